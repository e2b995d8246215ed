//! The socket front: framing, bounds, order, and what it leaves behind.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::testing::DevNsm;

const DESCRIBE: &[u8] = b"\x6bDescribeNSM";
const TOO_LARGE: &[u8] = b"\xa1\x65Error\x6dInputTooLarge";

struct Server {
    path: PathBuf,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
    _folder: TempDir,
}

fn serve(options: Options) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nsm.sock");
    let socket = Socket::bind(&path).unwrap();
    let (stop, stopped) = oneshot::channel();
    let module = DevNsm::new([[1; 48]; 3], system_clock()).into_module();
    let task = tokio::spawn(socket.serve(module, options, async {
        let _ = stopped.await;
    }));
    Server {
        path,
        stop,
        task,
        _folder: folder,
    }
}

async fn ask(stream: &mut UnixStream, request: &[u8]) -> io::Result<Vec<u8>> {
    write_frame(stream, request).await?;
    answer(stream).await
}

async fn answer(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn requests_are_answered_one_after_the_other() {
    let server = serve(Options::default());
    let mut stream = UnixStream::connect(&server.path).await.unwrap();
    for _ in 0..3 {
        assert!(
            ask(&mut stream, DESCRIBE)
                .await
                .unwrap()
                .starts_with(b"\xa1\x6bDescribeNSM")
        );
    }
    assert_eq!(
        ask(&mut stream, b"").await.unwrap(),
        b"\xa1\x65Error\x6fInvalidArgument"
    );
    // Two requests written at once are still two answers.
    stream
        .write_all(
            &[
                &12u32.to_be_bytes(),
                DESCRIBE,
                &10u32.to_be_bytes(),
                b"\x69GetRandom",
            ]
            .concat(),
        )
        .await
        .unwrap();
    assert!(
        answer(&mut stream)
            .await
            .unwrap()
            .starts_with(b"\xa1\x6bDescribeNSM")
    );
    assert!(
        answer(&mut stream)
            .await
            .unwrap()
            .starts_with(b"\xa1\x69GetRandom")
    );
}

#[tokio::test]
async fn long_frames_are_refused_and_absurd_ones_end_the_connection() {
    let server = serve(Options::default());
    let mut stream = UnixStream::connect(&server.path).await.unwrap();
    assert_eq!(ask(&mut stream, &[0; 4097]).await.unwrap(), TOO_LARGE);
    assert_eq!(
        ask(&mut stream, &[0; MAX_DRAINED]).await.unwrap(),
        TOO_LARGE
    );
    assert!(
        ask(&mut stream, DESCRIBE)
            .await
            .unwrap()
            .starts_with(b"\xa1\x6bDescribeNSM")
    );
    stream.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap(), TOO_LARGE);
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_frame_that_stalls_ends_its_connection_only() {
    let server = serve(Options {
        frame_timeout: Duration::from_millis(50),
        ..Options::default()
    });
    let mut stalled = UnixStream::connect(&server.path).await.unwrap();
    let mut idle = UnixStream::connect(&server.path).await.unwrap();
    stalled.write_all(b"\0\0\0\x0c\x6bDesc").await.unwrap();
    assert_eq!(stalled.read(&mut [0]).await.unwrap(), 0);
    assert!(
        ask(&mut idle, DESCRIBE)
            .await
            .unwrap()
            .starts_with(b"\xa1\x6bDescribeNSM")
    );
}

#[tokio::test]
async fn one_connection_too_many_is_closed() {
    let server = serve(Options {
        max_connections: 2,
        ..Options::default()
    });
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = UnixStream::connect(&server.path).await.unwrap();
        ask(&mut stream, DESCRIBE).await.unwrap();
        kept.push(stream);
    }
    let mut refused = UnixStream::connect(&server.path).await.unwrap();
    assert_eq!(refused.read(&mut [0]).await.unwrap(), 0);
    assert!(ask(&mut kept[0], DESCRIBE).await.is_ok());
    // A place that becomes free is given away again.
    drop(kept.pop());
    loop {
        let mut stream = UnixStream::connect(&server.path).await.unwrap();
        if ask(&mut stream, DESCRIBE).await.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn the_module_serves_one_request_at_a_time() {
    let latency = Duration::from_millis(40);
    let server = serve(Options {
        latency,
        ..Options::default()
    });
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(UnixStream::connect(&server.path).await.unwrap());
    }
    let begin = Instant::now();
    let tasks: Vec<_> = streams
        .into_iter()
        .map(|mut stream| tokio::spawn(async move { ask(&mut stream, DESCRIBE).await.unwrap() }))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(begin.elapsed() >= latency * 5, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn the_socket_is_private_and_goes_with_the_server() {
    let server = serve(Options::default());
    let mode = std::fs::metadata(&server.path)
        .unwrap()
        .permissions()
        .mode()
        & 0o777;
    assert_eq!(mode, 0o600);
    let mut stream = UnixStream::connect(&server.path).await.unwrap();
    ask(&mut stream, DESCRIBE).await.unwrap();
    server.stop.send(()).unwrap();
    server.task.await.unwrap().unwrap();
    assert!(!server.path.exists());
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn only_a_dead_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nsm.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let alive = Socket::bind(&path).unwrap();
    assert!(matches!(Socket::bind(&path), Err(BindError::InUse(_))));
    drop(alive);

    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(Socket::bind(&path), Err(BindError::NotASocket(_))));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");

    let long = folder.path().join("x".repeat(120));
    assert!(matches!(Socket::bind(&long), Err(BindError::Io { .. })));
}

#[tokio::test]
async fn a_successors_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nsm.sock");
    let first = Socket::bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _second = Socket::bind(&path).unwrap();
    drop(first);
    assert!(path.exists());
}
