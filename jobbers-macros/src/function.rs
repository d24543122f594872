//! What is read from the function: the types of its parameters and output.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Error, FnArg, GenericArgument, Ident, ItemFn, PathArguments, Result, ReturnType, Type, Visibility};

use crate::keys::Keys;

/// A function that can stand behind a task, as far as its signature says.
pub(crate) struct Function {
    pub(crate) name: Ident,
    pub(crate) visibility: Visibility,
    pub(crate) parameters: Type,
    pub(crate) output: Type,
}

impl Function {
    pub(crate) fn of(item: &ItemFn, keys: &Keys) -> Result<Function> {
        let signature = &item.sig;
        if let Some(generic) = signature.generics.params.first() {
            return Err(Error::new(
                generic.span(),
                "a task's function has no generics: its parameters have one type, which producers know too",
            ));
        }
        match (signature.asyncness.is_some(), keys.blocking) {
            (false, None) => {
                let name = keys.name.value();
                let why = format!("a task's function is async; if this one blocks, say so: #[task(name = {name:?}, blocking)]");
                return Err(Error::new(signature.fn_token.span(), why));
            }
            (true, Some(blocking)) => return Err(Error::new(blocking, "an async function does not block; leave out `blocking`")),
            _ => {}
        }
        Ok(Function {
            name: signature.ident.clone(),
            visibility: item.vis.clone(),
            parameters: parameters(item)?,
            output: output(&signature.output, signature.ident.span())?,
        })
    }
}

/// The type of the last argument.
fn parameters(item: &ItemFn) -> Result<Type> {
    let none = "a task's function takes its parameters as the last argument; if it needs none: `_: ()`";
    match item.sig.inputs.last() {
        None => Err(Error::new(item.sig.ident.span(), none)),
        Some(FnArg::Receiver(receiver)) => {
            Err(Error::new(receiver.span(), "a task's function has no `self`; take what it needs as `State<T>`"))
        }
        Some(FnArg::Typed(last)) => match &*last.ty {
            Type::Reference(reference) => {
                Err(Error::new(reference.span(), "parameters are owned, since they are read from the job: `String`, not `&str`"))
            }
            Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Ctx" || last.ident == "State") => {
                Err(Error::new(path.span(), format!("{none}; what is not read from the job comes before them")))
            }
            owned => Ok(owned.clone()),
        },
    }
}

/// The first type in the brackets of what is returned: of `Result<u64, E>` and of `io::Result<u64>`.
fn output(returned: &ReturnType, at: Span) -> Result<Type> {
    let advice = "a task's function returns a `Result` that names its output: `-> Result<u64, JobError>`, or `jobbers::Result<()>`";
    let ReturnType::Type(_, returned) = returned else { return Err(Error::new(at, advice)) };
    if let Type::Path(path) = &**returned
        && let Some(last) = path.path.segments.last()
        && let PathArguments::AngleBracketed(arguments) = &last.arguments
        && let Some(GenericArgument::Type(output)) = arguments.args.first()
    {
        return Ok(output.clone());
    }
    Err(Error::new(returned.span(), advice))
}
