//! Callers that have bytes only: tensors without JSON, in and out.

use std::io::Read as _;

use flate2::read::GzDecoder;
use nacre_protocol::TENSORS_TYPE;
use nacre_tests::http::{Answer, ask_plain};
use nacre_tests::platform::{Platform, Service, repository};

/// MNIST's own header of the images.
const IMAGES_HEADER: usize = 16;
/// And of the labels.
const LABELS_HEADER: usize = 8;
const PIXELS: usize = 28 * 28;

#[test]
fn a_drawing_of_bytes_is_answered_with_the_byte_that_it_shows() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    platform.deploy_example("digit")?;
    let images = held_out("images.idx3")?.split_off(IMAGES_HEADER);
    let labels = held_out("labels.idx1")?.split_off(LABELS_HEADER);
    let proxy = Service::start(platform.nacre([
        "--json",
        "proxy",
        "--listen",
        "127.0.0.1:0",
        "--exit-on-stdin-eof",
    ]))?;
    let address = proxy.ready()["listening"].as_str().unwrap_or_default();
    let shown = images.chunks_exact(PIXELS).zip(&labels).step_by(250);
    let mut right = 0;
    for (image, label) in shown.clone() {
        let answer = infer(address, image)?;
        assert_eq!(answer.status, 200, "{}", answer.code());
        assert_eq!(answer.header("content-type"), TENSORS_TYPE);
        right += usize::from(answer.body == [*label]);
    }
    assert!(right + 1 >= shown.count(), "{right} are right");

    let cut_short = infer(address, &images[..PIXELS - 1])?;
    let refusal = (cut_short.status, cut_short.code());
    assert_eq!(refusal, (400, "bare-tensors".to_owned()));
    proxy.stop()?;
    platform.stop()
}

/// Through the proxy: an answer that its receipt does not prove does not come.
fn infer(proxy: &str, tensors: &[u8]) -> anyhow::Result<Answer> {
    let headers = [("host", "localhost"), ("content-type", TENSORS_TYPE)];
    ask_plain(proxy, "POST", "/v2/models/digit/infer", &headers, tensors)
}

fn held_out(kind: &str) -> anyhow::Result<Vec<u8>> {
    let file = format!("examples/lenet-mnist/held-out-{kind}-ubyte.gz");
    let packed = std::fs::read(repository().join(file))?;
    let mut bytes = Vec::new();
    GzDecoder::new(&packed[..]).read_to_end(&mut bytes)?;
    Ok(bytes)
}
