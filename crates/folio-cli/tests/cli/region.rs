//! `folio region`.

use folio_ipc::{Data, Region, Shared};

use crate::folder::Folder;

/// A region `r` of two objects, open in this process.
fn region(folder: &Folder) -> (Region, [Shared<Data<u64>>; 2]) {
    let region = Region::options()
        .size_bytes(2 << 20)
        .create(folder.path("r"))
        .unwrap();
    let objects = ["hits", "misses"].map(|name| region.object(name).unwrap());
    (region, objects)
}

#[test]
fn shows_what_there_is() {
    let folder = Folder::new();
    let (region, objects) = region(&folder);
    let stat = folder.folio(["region", "stat", "r"]).text();
    assert!(
        stat.contains("size            2.00 MiB (2,097,152 bytes)\n"),
        "{stat}"
    );
    assert!(
        stat.contains("participants    1 living, 0 dead, room for "),
        "{stat}"
    );
    assert!(stat.contains("objects         2, room for "), "{stat}");

    let list = folder.folio(["region", "objects", "r"]).text();
    let rows: Vec<_> = list.lines().collect();
    assert_eq!(rows.len(), 3, "{list}");
    assert!(rows[1].starts_with("data "), "{list}");
    assert!(
        rows[1].contains("  hits (") && rows[2].contains("  misses ("),
        "{list}"
    );

    let list = folder.folio(["region", "participants", "r"]).text();
    let pid = std::process::id().to_string();
    assert!(
        list.lines()
            .any(|row| row.contains(&pid) && row.contains("living")),
        "{list}"
    );

    let locks = folder.folio(["region", "locks", "r"]).text();
    assert!(locks.contains("(heap and directory)     free\n"), "{locks}");
    drop((region, objects));
    let stat = folder.folio(["region", "stat", "r"]).text();
    assert!(stat.contains("participants    0 living, 0 dead"), "{stat}");
}

#[test]
fn shows_it_as_json() {
    let folder = Folder::new();
    let (_region, _objects) = region(&folder);
    let first = |action: &str| -> serde_json::Value {
        let text = folder.folio(["region", action, "r", "--json"]).text();
        serde_json::from_str(text.lines().next().unwrap()).unwrap()
    };
    let stat = first("stat");
    assert_eq!(stat["size_bytes"], 2 << 20);
    assert_eq!(stat["participants_living"], 1);
    assert_eq!(stat["objects"], 2);
    assert!(stat["heap"]["free_bytes"].as_u64().unwrap() > 1 << 20);
    let object = first("objects");
    assert_eq!(object["name"], "hits");
    assert_eq!(object["kind"], "data");
    assert_eq!(object["user_slots"].as_array().unwrap().len(), 1);
    let participant = first("participants");
    assert_eq!(participant["pid"], std::process::id());
    assert_eq!(participant["living"], true);
    assert_eq!(first("locks")["owner_pid"], serde_json::Value::Null);
    assert_eq!(first("list")["participants_living"], 1);
}

#[test]
fn lists_the_regions_of_a_folder() {
    let folder = Folder::new();
    let (_region, _objects) = region(&folder);
    folder.write("other", "no region");
    let list = folder.folio(["region", "list", "."]).text();
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.ends_with("./r\n"), "{list}");
    let refused = folder.folio(["region", "list", "other", "r"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.starts_with("folio: "), "{}", refused.stderr);
    assert_eq!(refused.stderr.lines().count(), 1);
}

#[test]
fn removes_objects_and_regions() {
    let folder = Folder::new();
    let (region, [hits, misses]) = region(&folder);
    drop(hits);
    let removed = folder.folio(["region", "remove", "r", "--object", "hits"]);
    assert_eq!(removed.stderr, "r: removed object \"hits\"\n");
    let missing = folder.folio(["region", "remove", "r", "--object", "hits"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        missing
            .stderr
            .starts_with("folio: r: no object is called \"hits\"\nhint: "),
        "{}",
        missing.stderr
    );
    let kept = folder.folio(["region", "remove", "r"]);
    assert_eq!(kept.status.code(), Some(1));
    assert!(
        kept.stderr
            .starts_with("folio: r: 1 processes have it open\nhint: "),
        "{}",
        kept.stderr
    );
    drop((misses, region));
    let removed = folder.folio(["region", "remove", "r"]);
    assert_eq!(removed.stderr, "r: removed\n");
    assert!(!folder.path("r").exists());

    // What is no region stays.
    folder.write("precious", "x".repeat(10_000));
    let refused = folder.folio(["region", "remove", "precious", "--force"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(folder.path("precious").exists());
}

#[test]
fn repairs() {
    let folder = Folder::new();
    let (_region, _objects) = region(&folder);
    let repaired = folder.folio(["region", "repair", "r"]);
    assert!(
        repaired
            .stderr
            .starts_with("r: 0 dead processes cleaned up behind, "),
        "{}",
        repaired.stderr
    );
}
