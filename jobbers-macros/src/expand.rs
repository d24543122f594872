//! What is written beside the function.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{ItemFn, Result};

use crate::function::Function;
use crate::keys::Keys;

/// The function, and its type beside it; of a mistake, the function and the message, so that it is the only one.
pub(crate) fn task(keys: TokenStream, function: TokenStream) -> TokenStream {
    match beside(keys, function.clone()) {
        Ok(beside) => quote!(#function #beside),
        Err(error) => {
            let error = error.to_compile_error();
            quote!(#function #error)
        }
    }
}

fn beside(keys: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let keys: Keys = syn::parse2(keys)?;
    let item: ItemFn = syn::parse2(function)?;
    let Function { name, visibility, parameters, output } = Function::of(&item, &keys)?;
    let Keys { name: task, root, blocking, calls } = keys;
    let docs = format!("The task `{}`, run by the function of this name.", task.value());
    let register = if blocking.is_some() { quote!(blocking) } else { quote!(task) };
    let conditions = item.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).collect::<Vec<_>>();
    Ok(quote! {
        #(#conditions)*
        #[doc = #docs]
        #[allow(non_camel_case_types)]
        #[derive(Debug, Clone, Copy)]
        // With braces: a type of this shape leaves the name to the function where values are meant.
        #visibility struct #name {}

        #(#conditions)*
        #[allow(dead_code)]
        impl #name {
            /// The handle of the task, for producers.
            pub const TASK: #root::task::Task<#parameters, #output> = #root::task::Task::new(#task) #(#calls)*;

            /// Submits a job of the task: `.await` it, or say more first.
            pub fn submit(client: &#root::client::Client, parameters: &#parameters) -> #root::client::Submit<#output> {
                client.submit(#name::TASK, parameters)
            }
        }

        #(#conditions)*
        impl #root::worker::Declared for #name {
            fn register(worker: #root::worker::Worker) -> #root::worker::Worker {
                worker.#register(#name::TASK, #name)
            }
        }
    })
}
