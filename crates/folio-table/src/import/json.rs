//! A JSON object a line.

use std::borrow::Cow;
use std::fmt;
use std::io::BufRead;

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
}

impl Wanted<'_> {
    /// Key and value of a line; or what is wrong with it.
    fn read<'l>(&self, line: &'l [u8]) -> Result<Record<'l>, String> {
        let mut json = serde_json::Deserializer::from_slice(line);
        let fields = self.deserialize(&mut json);
        let fields = fields.and_then(|fields| json.end().map(|()| fields));
        let fields = fields.map_err(|error| describe(&error))?;

        let no_field = |name: &str| format!("no field \"{name}\"");
        let key = fields.key.ok_or_else(|| no_field(self.key))?.get();
        if key.starts_with(['{', '[']) || key == "null" {
            return Err(format!(
                "the field \"{}\" is no string, number or bool",
                self.key
            ));
        }
        let value = match (self.value, fields.value) {
            (None, _) => Cow::Borrowed(line),
            (Some(_), Some(value)) => content(value.get())?,
            (Some(name), None) => return Err(no_field(name)),
        };
        Ok(Record {
            key: content(key)?,
            value,
        })
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
    key: Option<&'l RawValue>,
    value: Option<&'l RawValue>,
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
            if !role.key && !role.value {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let text = map.next_value::<&'l RawValue>()?;
            if role.key {
                fields.key = Some(text);
            }
            if role.value {
                fields.value = Some(text);
            }
        }
        Ok(fields)
    }
}

/// What a field's name makes of it.
struct Role {
    key: bool,
    value: bool,
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
        Ok(Role {
            key: name == self.0.key,
            value: Some(name) == self.0.value,
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
