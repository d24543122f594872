//! What stands in the brackets: `name = "mail.send", timeout = "30s", ..`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, Ident, LitInt, LitStr, Path, Result, Token};

use crate::{duration, names};

/// All keys, for the message that meets an unknown one.
const KEYS: &str =
    "name, version, queue, priority, codec, retry, timeout, heartbeat_every, on_stop, deadline_after, expires_after, blocking, crate";

/// The keys, checked.
pub(crate) struct Keys {
    pub(crate) name: LitStr,
    pub(crate) root: TokenStream,
    pub(crate) blocking: Option<Span>,
    /// The calls that follow `Task::new(name)`, in any order.
    pub(crate) calls: Vec<TokenStream>,
}

impl Parse for Keys {
    fn parse(input: ParseStream<'_>) -> Result<Keys> {
        let (mut name, mut root, mut blocking, mut codec) = (None, None, None, None);
        let (mut calls, mut seen) = (Vec::new(), Vec::<Ident>::new());
        while !input.is_empty() {
            let key = input.call(Ident::parse_any)?;
            if seen.contains(&key) {
                return Err(Error::new(key.span(), format!("`{key}` is given twice")));
            }
            seen.push(key.clone());
            match key.to_string().as_str() {
                "name" => name = Some(text(input, &key, names::task)?),
                "crate" => {
                    equals(input, &key)?;
                    root = Some(input.parse::<Path>()?);
                }
                "blocking" => blocking = Some(key.span()),
                "version" => {
                    equals(input, &key)?;
                    let number: LitInt = input.parse().map_err(|error| Error::new(error.span(), "`version` is a number: version = 2"))?;
                    number.base10_parse::<u32>()?;
                    calls.push(quote!(.version(#number)));
                }
                "queue" => {
                    let queue = text(input, &key, names::queue)?;
                    calls.push(quote!(.queue(#queue)));
                }
                "codec" => {
                    let mut variant = "";
                    let text = text(input, &key, |text| names::codec(text).map(|found| variant = found))?;
                    codec = Some(Ident::new(variant, text.span()));
                }
                "timeout" | "heartbeat_every" | "deadline_after" | "expires_after" => {
                    let mut millis = 0;
                    text(input, &key, |text| duration::millis(text).map(|found| millis = found))?;
                    calls.push(quote!(.#key(::core::time::Duration::from_millis(#millis))));
                }
                "priority" | "retry" | "on_stop" => {
                    equals(input, &key)?;
                    let value: Expr = input.parse()?;
                    calls.push(quote!(.#key(#value)));
                }
                _ => return Err(Error::new(key.span(), format!("`{key}` is no key of a task; the keys are: {KEYS}"))),
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let missing = || {
            Error::new(Span::call_site(), "a task needs a name, which stays when the function is renamed: #[task(name = \"mail.send\")]")
        };
        let root = root.map_or_else(|| quote!(::jobbers), |path| quote!(#path));
        calls.extend(codec.map(|codec| quote!(.codec(#root::task::Codec::#codec))));
        Ok(Keys { name: name.ok_or_else(missing)?, root, blocking, calls })
    }
}

fn equals(input: ParseStream<'_>, key: &Ident) -> Result<()> {
    if input.is_empty() || !input.peek(Token![=]) {
        return Err(Error::new(key.span(), format!("`{key}` needs a value: {key} = ..")));
    }
    input.parse::<Token![=]>().map(drop)
}

/// A text in quotes that passes a check.
fn text(input: ParseStream<'_>, key: &Ident, check: impl FnOnce(&str) -> std::result::Result<(), String>) -> Result<LitStr> {
    equals(input, key)?;
    let text: LitStr = input.parse().map_err(|error| Error::new(error.span(), format!("`{key}` is a text in quotes: {key} = \"..\"")))?;
    check(&text.value()).map_err(|why| Error::new(text.span(), why))?;
    Ok(text)
}
