//! Callers that have bytes only: tensors without JSON, in and out.

use std::io::Read as _;

use anyhow::ensure;
use flate2::read::GzDecoder;
use nacre_protocol::TENSORS_TYPE;
use nacre_tests::http::Answer;
use nacre_tests::platform::{Platform, repository};
use nacre_tests::tls::RawTls;

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
    let mut connection = RawTls::connect(platform.ready("node"))?;
    let shown = images.chunks_exact(PIXELS).zip(&labels).step_by(250);
    let mut right = 0;
    for (image, label) in shown.clone() {
        let answer = infer(&mut connection, image)?;
        ensure!(answer.status == 200, "{}", answer.status);
        assert_eq!(answer.header("content-type"), TENSORS_TYPE);
        assert_ne!(answer.header("nacre-receipt"), "");
        right += usize::from(answer.body == [*label]);
    }
    assert!(right + 1 >= shown.count(), "{right} are right");

    let cut_short = infer(&mut connection, &images[..PIXELS - 1])?;
    assert_eq!(
        (cut_short.status, cut_short.code()),
        (400, "bare-tensors".to_owned())
    );
    platform.stop()
}

fn infer(connection: &mut RawTls, tensors: &[u8]) -> anyhow::Result<Answer> {
    let head = format!(
        "POST /v2/models/digit/infer HTTP/1.1\r\nhost: localhost\r\ncontent-type: {TENSORS_TYPE}\r\ncontent-length: {}\r\n\r\n",
        tensors.len()
    );
    connection.send(head.as_bytes())?;
    connection.send(tensors)?;
    connection.answer()
}

fn held_out(kind: &str) -> anyhow::Result<Vec<u8>> {
    let file = format!("examples/lenet-mnist/held-out-{kind}-ubyte.gz");
    let packed = std::fs::read(repository().join(file))?;
    let mut bytes = Vec::new();
    GzDecoder::new(&packed[..]).read_to_end(&mut bytes)?;
    Ok(bytes)
}
