use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn cache() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(&dir.path().join("cache")).unwrap();
    (dir, cache)
}

fn key() -> Key {
    Key::of(&[("source", b"1.0")])
}

#[test]
fn an_entry_is_made_once() {
    let (_dir, cache) = cache();
    let made = cache.entry("thing", key(), |dir| {
        fs::write(dir.join("file"), "whole").map_err(at(dir))
    });
    let found = cache.entry("thing", key(), |_| -> Result<(), CacheError> {
        unreachable!()
    });
    assert_eq!(
        fs::read_to_string(found.unwrap().join("file")).unwrap(),
        "whole"
    );
    assert!(made.is_ok());
}

#[test]
fn a_failed_making_leaves_nothing() {
    let (_dir, cache) = cache();
    let failed = cache.entry("thing", key(), |dir| {
        fs::write(dir.join("half"), "").map_err(at(dir))?;
        Err(CacheError::NoPlace)
    });
    assert_eq!(failed.unwrap_err().code(), "cache-no-place");
    let left: Vec<_> = fs::read_dir(cache.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["thing.lock"]);
}

#[test]
fn what_a_killed_builder_left_is_not_taken_for_an_entry() {
    let (_dir, cache) = cache();
    fs::create_dir(cache.dir().join("unfinished-thing")).unwrap();
    fs::write(cache.dir().join("unfinished-thing/half"), "").unwrap();
    assert_eq!(cache.find("thing", key()), None);
    let path = cache
        .entry("thing", key(), |_| Ok::<(), CacheError>(()))
        .unwrap();
    assert_eq!(fs::read_dir(path).unwrap().count(), 0);
}

#[test]
fn two_builders_at_once_make_one_entry() {
    let (_dir, cache) = cache();
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let make = |dir: &Path| {
                    made.fetch_add(1, Ordering::SeqCst);
                    fs::write(dir.join("file"), "x").map_err(at(dir))
                };
                assert!(
                    cache
                        .entry("thing", key(), make)
                        .unwrap()
                        .join("file")
                        .is_file()
                );
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
}

#[test]
fn moving_a_byte_from_one_input_to_the_next_gives_another_key() {
    let one = Key::of(&[("a", b"bc"), ("d", b"")]);
    let other = Key::of(&[("a", b"b"), ("cd", b"")]);
    assert_ne!(one, other);
}

#[test]
fn a_path_that_would_break_the_compilers_options_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["two words", "a,b", "a:b", "quo\"te", "$HOME"] {
        let error = Cache::at(&dir.path().join(name)).unwrap_err();
        assert_eq!(error.code(), "cache-bad-path", "{name}");
    }
}
