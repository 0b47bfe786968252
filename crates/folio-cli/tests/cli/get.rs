//! `folio get`

use crate::folder::Folder;

#[test]
fn prints_values_in_the_order_asked() {
    let folder = Folder::new();
    folder.table("t.folio", 1000);
    let values = folder.folio(["get", "t.folio", "key999", "key0", "key42", "key0"]);
    assert_eq!(values.stderr, "");
    assert_eq!(values.text(), "value999\nvalue0\nvalue42\nvalue0\n");
}

#[test]
fn names_keys_that_are_missing_and_prints_the_others() {
    let folder = Folder::new();
    folder.table("t.folio", 10);
    let finished = folder.folio(["get", "t.folio", "key1", "no\nbody", "key2", "", "key3"]);
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(finished.stdout, b"value1\nvalue2\nvalue3\n");
    assert_eq!(
        finished.stderr,
        "folio: t.folio: no such key: no\\nbody\nfolio: t.folio: no such key: \n"
    );
}

#[test]
fn finds_every_key() {
    let folder = Folder::new();
    folder.table("t.folio", 5000);
    let keys: Vec<_> = (0..5000).map(|i| format!("key{i}")).collect();
    let arguments = ["get", "t.folio"]
        .into_iter()
        .chain(keys.iter().map(String::as_str));
    let expected: Vec<_> = (0..5000).map(|i| format!("value{i}\n")).collect();
    assert_eq!(folder.folio(arguments).text(), expected.concat());
}
