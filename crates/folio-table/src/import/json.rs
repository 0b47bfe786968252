//! A JSON object a line.

use std::borrow::Cow;
use std::fmt;
use std::io::BufRead;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::lines::Lines;
use super::{Options, Progress, Target};
use crate::Result;

pub(super) fn read(
    input: impl BufRead,
    options: &Options,
    max_line_len: u64,
    target: &mut Target<'_>,
    mut progress: Progress<impl FnMut(u64)>,
) -> Result<()> {
    let wanted = Wanted {
        key: options.key.as_deref().unwrap_or("key"),
        value: options.value.as_deref(),
        takes_exported: options.key.is_none() && options.value.is_none(),
    };
    let mut lines = Lines::new(input, target.name, max_line_len);
    while let Some((number, line)) = lines.next()? {
        if !line.iter().all(u8::is_ascii_whitespace) {
            let record = wanted
                .read(line)
                .map_err(|problem| target.error(number, problem))?;
            target.add(number, &record.key, &record.value)?;
        }
        progress.at(lines.consumed());
    }
    progress.end(lines.consumed());
    Ok(())
}

/// The names of the fields that are read; all others are passed over.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    key: &'a str,
    value: Option<&'a str>,
    /// Whether a line may say that it is a record, and which fields it has.
    takes_exported: bool,
}

impl Wanted<'_> {
    /// Key and value of a line; or what is wrong with it.
    fn read<'l>(&self, line: &'l [u8]) -> Result<Record<'l>, String> {
        let mut json = serde_json::Deserializer::from_slice(line);
        let fields = self.deserialize(&mut json);
        let fields = fields.and_then(|fields| json.end().map(|()| fields));
        let fields = fields.map_err(|error| describe(&error))?;
        if self.takes_exported && fields.are_exported() {
            return Ok(Record {
                key: fields.key.read("key")?,
                value: fields.value.read("value")?,
            });
        }
        let key = fields.key.read(self.key)?;
        let is_text = |text: &&RawValue| !text.get().starts_with(['{', '[', 'n']);
        if !fields.key.plain.as_ref().is_none_or(is_text) {
            return Err(format!(
                "the field \"{}\" is no string, number or bool",
                self.key
            ));
        }
        let value = match self.value {
            None => Cow::Borrowed(line),
            Some(name) => fields.value.read(name)?,
        };
        Ok(Record { key, value })
    }
}

/// Key and value of one line.
struct Record<'l> {
    key: Cow<'l, [u8]>,
    value: Cow<'l, [u8]>,
}

/// The fields of one line, as the JSON text that they have there.
#[derive(Default)]
struct Fields<'l> {
    key: Field<'l>,
    value: Field<'l>,
    /// What marks a line of [`export`](crate::export).
    mark: Option<&'l RawValue>,
    /// Whether there are others.
    has_others: bool,
}

impl Fields<'_> {
    /// Whether these are the fields of an exported record, and no others.
    fn are_exported(&self) -> bool {
        let is_marked = self.mark.is_some_and(|mark| mark.get() == "\"record\"");
        is_marked && !self.has_others && self.key.is_string() && self.value.is_string()
    }
}

/// A field, by its own name or by that with `_base64` after it.
#[derive(Default)]
struct Field<'l> {
    plain: Option<&'l RawValue>,
    base64: Option<&'l RawValue>,
}

impl<'l> Field<'l> {
    /// Whether it is one string.
    fn is_string(&self) -> bool {
        let is_string = |text: &RawValue| text.get().starts_with('"');
        match (self.plain, self.base64) {
            (Some(text), None) | (None, Some(text)) => is_string(text),
            _ => false,
        }
    }

    /// The bytes that it stands for; `name` is for errors.
    fn read(&self, name: &str) -> Result<Cow<'l, [u8]>, String> {
        match (self.plain, self.base64) {
            (Some(text), _) => content(text.get()),
            (None, Some(text)) => {
                let encoded = content(text.get())?;
                let bytes = STANDARD.decode(encoded);
                let bytes =
                    bytes.map_err(|problem| format!("the field \"{name}_base64\": {problem}"))?;
                Ok(Cow::Owned(bytes))
            }
            (None, None) => Err(format!("no field \"{name}\"")),
        }
    }
}

impl<'l> DeserializeSeed<'l> for &Wanted<'_> {
    type Value = Fields<'l>;

    fn deserialize<D: Deserializer<'l>>(self, deserializer: D) -> Result<Fields<'l>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'l> Visitor<'l> for &Wanted<'_> {
    type Value = Fields<'l>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    /// Of fields with the same name the last one counts, as with most readers of JSON.
    fn visit_map<A: MapAccess<'l>>(self, mut map: A) -> Result<Fields<'l>, A::Error> {
        let mut fields = Fields::default();
        while let Some(role) = map.next_key_seed(Name(self))? {
            if role.is_other() {
                fields.has_others = true;
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let text = map.next_value::<&'l RawValue>()?;
            for (is_it, field) in [
                (role.key, &mut fields.key.plain),
                (role.key_base64, &mut fields.key.base64),
                (role.value, &mut fields.value.plain),
                (role.value_base64, &mut fields.value.base64),
                (role.mark, &mut fields.mark),
            ] {
                if is_it {
                    *field = Some(text);
                }
            }
        }
        Ok(fields)
    }
}

/// What a field's name makes of it. One name may be wanted for several things.
#[expect(clippy::struct_excessive_bools, reason = "any of them together")]
struct Role {
    key: bool,
    key_base64: bool,
    value: bool,
    value_base64: bool,
    mark: bool,
}

impl Role {
    fn is_other(&self) -> bool {
        !(self.key || self.key_base64 || self.value || self.value_base64 || self.mark)
    }
}

/// Reads a field's name without keeping it.
struct Name<'a>(&'a Wanted<'a>);

impl<'l> DeserializeSeed<'l> for Name<'_> {
    type Value = Role;

    fn deserialize<D: Deserializer<'l>>(self, deserializer: D) -> Result<Role, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Role;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Role, E> {
        let Wanted {
            key,
            value,
            takes_exported,
        } = *self.0;
        let value = value.or(takes_exported.then_some("value"));
        let without_suffix = name.strip_suffix("_base64");
        Ok(Role {
            key: name == key,
            key_base64: without_suffix == Some(key),
            value: Some(name) == value,
            value_base64: without_suffix.is_some() && without_suffix == value,
            mark: takes_exported && name == "folio",
        })
    }
}

/// A string's bytes; anything else as its JSON text.
fn content(text: &str) -> Result<Cow<'_, [u8]>, String> {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match inner {
        None => Ok(Cow::Borrowed(text.as_bytes())),
        Some(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner.as_bytes())),
        Some(_) => match serde_json::from_str::<String>(text) {
            Ok(string) => Ok(Cow::Owned(string.into_bytes())),
            Err(error) => Err(describe(&error)),
        },
    }
}

/// What the parser says, but for the line: it has seen only one.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(problem) => format!("not a JSON object: {problem} at column {}", error.column()),
        None => format!("not a JSON object: {text}"),
    }
}
