use nacre_control_plane::Config;
use nacre_protocol::api::{Function, Page};
use nacre_protocol::bundle::{Bundle, BundleFile};
use nacre_protocol::digest::Digest;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Server, TestNode, bundle, expect, files, refused};

#[tokio::test]
async fn versions_count_up_and_a_digest_is_one_version() {
    let server = Server::start().await;
    let first = server.function("iris", "64MiB", "one").await;
    assert_eq!((first.version, first.memory_bytes), (1, 64 << 20));
    let second = server.function("iris", "64MiB", "two").await;
    assert_eq!(second.version, 2);
    assert_eq!(server.function("iris", "64MiB", "one").await, first);
    let function: Function = server.get("/v1/functions/iris").await;
    assert_eq!(function.versions, [second, first]);
    assert_eq!(function.deployment, None);
}

#[tokio::test]
async fn what_makes_no_function_is_refused_with_its_reason() {
    let server = Server::start().await;
    let create = |digest: Digest| {
        let body = json!({ "digest": digest });
        server.request(Method::POST, "/v1/functions").json(&body)
    };
    let (blobs, good) = bundle("iris", "64MiB", "model");
    refused(create(good.digest()), 422, "blob-missing").await;
    // The manifest and nacre.toml are there, the model is not.
    server.put(&blobs[2]).await;
    server.put(&blobs[0]).await;
    let missing = refused(create(good.digest()), 422, "blob-missing").await;
    assert!(missing.detail.unwrap().contains("model.onnx"));
    server.put(b"not a manifest").await;
    refused(create(Digest::of(b"not a manifest")), 422, "bundle-invalid").await;

    let with = |toml: &[u8], claimed: u64| {
        let file = |name: &str, bytes: &[u8], size| BundleFile {
            name: name.to_owned(),
            digest: Digest::of(bytes),
            size,
            urls: Vec::new(),
        };
        Bundle::new(vec![
            file("nacre.toml", toml, toml.len() as u64),
            file("model.onnx", b"model", claimed),
        ])
        .unwrap()
    };
    server.put(b"model").await;
    for (toml, claimed, code) in [
        (blobs[0].clone(), 4, "layer-size"),
        (b"[function]".to_vec(), 5, "manifest-invalid"),
        (
            String::from_utf8(blobs[0].clone())
                .unwrap()
                .replace("model.onnx", "m.onnx")
                .into(),
            5,
            "model-missing",
        ),
    ] {
        let bundle = with(&toml, claimed);
        server.put(&toml).await;
        server.put(&bundle.to_oci_manifest()).await;
        refused(create(bundle.digest()), 422, code).await;
    }
    let none: Page<Function> = server.get("/v1/functions").await;
    assert_eq!(none.items, []);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = Server::start().await;
    for name in ["c", "a", "b"] {
        server.function(name, "1MiB", name).await;
    }
    let names = |page: &Page<Function>| -> Vec<String> {
        page.items
            .iter()
            .map(|function| function.name.to_string())
            .collect()
    };
    let first: Page<Function> = server.get("/v1/functions?limit=2").await;
    assert_eq!(names(&first), ["a", "b"]);
    let rest: Page<Function> = server
        .get(&format!(
            "/v1/functions?limit=2&after={}",
            first.next.unwrap()
        ))
        .await;
    assert_eq!((names(&rest), rest.next), (vec!["c".to_owned()], None));
    for query in ["limit=0", "limit=1001", "limit=x", "colour=blue"] {
        let ask = server.request(Method::GET, &format!("/v1/functions?{query}"));
        refused(ask, 400, "query-invalid").await;
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused() {
    let server = Server::start().await;
    let post = || server.request(Method::POST, "/v1/functions");
    let json = || post().header("content-type", "application/json");
    refused(post().body("{}"), 415, "content-type").await;
    refused(json().body("{"), 400, "json-syntax").await;
    refused(json().body("{}"), 422, "json-invalid").await;
    refused(json().body(r#"{"digest":"md5:00"}"#), 422, "json-invalid").await;
    let extra = format!(r#"{{"digest":"{}","x":1}}"#, Digest::of(b""));
    refused(json().body(extra), 422, "json-invalid").await;
    refused(json().body(vec![b' '; (1 << 20) + 1]), 413, "body-too-long").await;
    refused(
        json().header("content-length", "1073741824").body("{"),
        413,
        "body-too-long",
    )
    .await;
    refused(
        server.request(Method::GET, "/v1/functions/Iris"),
        400,
        "path-invalid",
    )
    .await;
    refused(
        server.request(Method::GET, "/v1/functions/iris"),
        404,
        "function-not-found",
    )
    .await;
    refused(server.request(Method::GET, "/nothing"), 404, "no-such-path").await;
    refused(
        server.request(Method::PATCH, "/v1/functions"),
        405,
        "method-not-allowed",
    )
    .await;
}

#[tokio::test]
async fn a_deleted_function_is_gone_and_its_blobs_go_when_nobody_needs_them() {
    let mut server = Server::tuned(|config: &mut Config| config.clock = config.clock.clone()).await;
    let mut node = TestNode::new(1, 1 << 30, 1);
    server.register(&mut node).await;
    let gone = server.function("gone", "1MiB", "shared model").await;
    server.function("stays", "1MiB", "shared model").await;
    server.deploy(&gone, 1).await;
    assert_eq!(server.desired(&node, "").await.functions.len(), 1);

    let delete = || server.request(Method::DELETE, "/v1/functions/gone");
    assert_eq!(
        delete().send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    refused(delete(), 404, "function-not-found").await;
    assert_eq!(server.desired(&node, "").await.functions, []);
    server.put(b"just uploaded, no version yet").await;

    // An hour after the last upload the start sweeps what no version has.
    let before = files(&server.data.path().join("objects")).len();
    assert_eq!(before, 6);
    server.stop().await;
    server.pass(3_600_001);
    server.resume().await;
    let kept = bundle("stays", "1MiB", "shared model").0;
    let objects = server.data.path().join("objects");
    crate::blobs::until(|| files(&objects).len() == kept.len()).await;
    for blob in kept {
        let path = format!("/v1/blobs/{}", Digest::of(&blob));
        let got = server.request(Method::GET, &path).send().await.unwrap();
        assert!(got.bytes().await.unwrap() == blob);
    }
    // And the name can be taken anew.
    assert_eq!(
        server
            .function("gone", "1MiB", "shared model")
            .await
            .version,
        1
    );
}

#[tokio::test]
async fn whoever_was_told_that_a_blob_is_there_has_time_to_use_it() {
    let mut server = Server::start().await;
    server.put(b"asked for").await;
    server.put(b"forgotten").await;
    server.pass(3_500_000);
    let head = server.request(
        Method::HEAD,
        &format!("/v1/blobs/{}", Digest::of(b"asked for")),
    );
    assert_eq!(head.send().await.unwrap().status(), StatusCode::OK);
    server.stop().await;
    server.pass(200_000);
    server.resume().await;
    let objects = server.data.path().join("objects");
    crate::blobs::until(|| files(&objects) == [Digest::of(b"asked for").to_hex()]).await;
}

#[tokio::test]
async fn the_number_of_versions_is_bounded() {
    let server = Server::start().await;
    for n in 0..103 {
        server.function("iris", "1MiB", &format!("model {n}")).await;
    }
    let function: Function = server.get("/v1/functions/iris").await;
    assert_eq!(function.versions.len(), 100);
    assert_eq!(function.versions[0].version, 103);
    let _: Page<Function> = expect(server.request(Method::GET, "/v1/functions"), 200).await;
}
