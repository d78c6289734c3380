//! Addresses and paths, mutated at random: each leads to a place of its kind, and a file's path never out
//! of it.

use super::{Environment, Location, Store, environment::OUTPUT_DIR, manifest::Manifest};
use crate::testing::fuzz;

const ADDRESSES: &[&str] = &[
    "s3://bucket/a/b",
    "gs://bucket",
    "pvc://claim/results",
    "file:///tmp/x",
    "results/",
];
const WORDS: &[&[u8]] = &[
    b"../", b"/..", b"//", b"/", b"\\", b"%2e%2e/", b"%", b"\x00", b"\xFF", b"://", b":", b"@",
    b"?", b"#", b" ", b"\n", b".",
];

#[test]
fn addresses_are_taken_or_refused() {
    let environment = Environment::from([(OUTPUT_DIR, "/results")]);
    let others: Vec<&[u8]> = ADDRESSES.iter().map(|it| it.as_bytes()).collect();
    let (mut taken, mut refused) = (0, 0);
    fuzz::cases(2000, |random| {
        let mut uri = random.pick(ADDRESSES).as_bytes().to_vec();
        for _ in 0..random.below(4) {
            random.mutate(&mut uri, &others, WORDS);
        }
        let uri = String::from_utf8_lossy(&uri);
        match Location::parse(&uri, &environment) {
            Ok(location) => {
                taken += 1;
                assert!(!location.remedy().is_empty() && !location.uri("a").is_empty());
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    });
    eprintln!("{taken} taken, {refused} refused");
    assert!(taken > 0 && refused > 0);
}

#[tokio::test]
async fn a_files_path_stays_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a/b/results");
    let store = Store::at(&root.display().to_string(), &Environment::default()).unwrap();
    // A name that is no name stays none.
    let store = store.with_upload_timeout(std::time::Duration::ZERO);
    let mut paths = Vec::new();
    fuzz::cases(300, |random| {
        let mut path = b"engines/a/stage.json".to_vec();
        for _ in 0..1 + random.below(4) {
            random.mutate(&mut path, &[b"../../x"], WORDS);
        }
        paths.push(String::from_utf8_lossy(&path).into_owned());
    });
    let mut stored = 0;
    for path in &paths {
        stored += usize::from(store.put_new(path, path.clone()).await.is_ok());
        let _ = store.get(path).await;
    }
    assert!(stored > 0);
    for beside in ["a/b", "a", "."] {
        let entries = std::fs::read_dir(folder.path().join(beside)).unwrap();
        assert_eq!(entries.count(), 1, "{beside} of {paths:?}");
    }
}

#[test]
fn a_manifest_is_read_or_refused() {
    let whole = br#"{"schemaVersion": "bakeoff.dev/manifest/v1alpha1", "files": [{"path": "a", "size": 1, "sha256": "0"}]}"#;
    fuzz::cases(500, |random| {
        let mut bytes = whole.to_vec();
        for _ in 0..1 + random.below(3) {
            random.mutate(&mut bytes, &[whole], WORDS);
        }
        let _ = serde_json::from_slice::<Manifest>(&bytes);
    });
}
