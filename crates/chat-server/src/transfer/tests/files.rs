//! The file that an export is written to.

use std::io::Write as _;

use super::super::Unfinished;

#[test]
fn two_exports_do_not_write_to_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.jsonl");
    let part = directory.path().join("chat.jsonl.part");
    let mut first = Unfinished::create(&path).unwrap();
    first.file.write_all(b"first").unwrap();
    let refused = Unfinished::create(&path).err().unwrap();
    assert_eq!(refused.code(), 2);
    let told = refused.to_string();
    assert!(told.contains("chat.jsonl.part is there already"), "{told}");
    assert!(told.contains("remove that one"), "{told}");
    first.finish().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"first");
    let refused = Unfinished::create(&path).err().unwrap().to_string();
    assert!(refused.contains("chat.jsonl is there already"), "{refused}");
    assert!(!part.exists());
}

#[test]
fn an_export_that_fails_leaves_nothing_in_the_way_of_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.jsonl");
    drop(Unfinished::create(&path).unwrap());
    Unfinished::create(&path).unwrap().finish().unwrap();
    assert!(path.exists());
}
