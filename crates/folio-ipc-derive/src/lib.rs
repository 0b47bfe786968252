//! `#[derive(Payload)]`: see `folio_ipc::Payload`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, LitInt, LitStr, parse_macro_input};

/// Implements `folio_ipc::Payload` for a type, by its name, as version 1.
///
/// `#[payload(name = "...", version = 2)]` says otherwise. The type must have `zerocopy`'s `FromBytes`, `IntoBytes`,
/// `Immutable` and `KnownLayout`, and be `Copy`; those are derived beside it. Its type parameters
/// are no part of the name, so that there must be none.
#[proc_macro_derive(Payload, attributes(payload))]
pub fn derive_payload(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    if !input.generics.params.is_empty() {
        let message = "a payload's name says nothing of parameters: implement Payload by hand";
        return Err(syn::Error::new_spanned(&input.generics, message));
    }
    let ident = &input.ident;
    let mut name = LitStr::new(&ident.to_string(), ident.span());
    let mut version = LitInt::new("1", ident.span());
    for attribute in &input.attrs {
        if !attribute.path().is_ident("payload") {
            continue;
        }
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = meta.value()?.parse()?;
                return Ok(());
            }
            if meta.path.is_ident("version") {
                version = meta.value()?.parse()?;
                version.base10_parse::<u32>()?;
                return Ok(());
            }
            Err(meta.error("`name` or `version` expected"))
        })?;
    }
    if name.value().is_empty() {
        return Err(syn::Error::new_spanned(name, "a payload has a name"));
    }
    Ok(quote! {
        impl ::folio_ipc::Payload for #ident {
            const NAME: &'static str = #name;
            const VERSION: u32 = #version;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(item: &str) -> Result<String, String> {
        let input = syn::parse_str(item).unwrap();
        expand(&input)
            .map(|tokens| tokens.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn name_and_version_are_as_said() {
        let plain = expanded("struct Counters { hits: u64 }").unwrap();
        assert!(plain.contains("for Counters"), "{plain}");
        assert!(
            plain.contains("\"Counters\"") && plain.contains("u32 = 1"),
            "{plain}"
        );
        let said = "#[payload(name = \"app.Counters\", version = 7)] struct Counters { hits: u64 }";
        let said = expanded(said).unwrap();
        assert!(
            said.contains("\"app.Counters\"") && said.contains("u32 = 7"),
            "{said}"
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (item, why) in [
            ("struct A<T> { a: T }", "parameters"),
            ("#[payload(size = 3)] struct A;", "`name` or `version`"),
            (
                "#[payload(version = 5000000000)] struct A;",
                "number too large",
            ),
            ("#[payload(name = \"\")] struct A;", "has a name"),
        ] {
            let error = expanded(item).unwrap_err();
            assert!(error.contains(why), "{item}: {error}");
        }
    }
}
