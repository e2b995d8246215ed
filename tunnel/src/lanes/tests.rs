use std::collections::HashMap;
use std::sync::Mutex;

use nacre_transport::connect;
use tokio::sync::watch as told;

use super::*;

const SOON: Duration = Duration::from_secs(30);
const CALLERS: usize = 64;

/// Which lanes hold how many connections.
type Held = Arc<Mutex<HashMap<String, usize>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_stay_are_shared_equally_and_all_end() {
    let any_port = "tcp://127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&any_port).await.unwrap();
    let address = listener.local_address().clone();
    let held = Held::default();
    let (leave, leaves) = told::channel(false);
    let holds = Arc::clone(&held);
    let carrier = Carrier {
        take: move |caller: Stream, from: Option<SocketAddr>| {
            assert!(from.is_some());
            let (holds, mut leaves) = (Arc::clone(&holds), leaves.clone());
            Some(async move {
                let lane = thread::current().name().unwrap_or_default().to_owned();
                *holds.lock().unwrap().entry(lane).or_default() += 1;
                let _ = leaves.wait_for(|leaves| *leaves).await;
                drop(caller);
            })
        },
        open: TaskTracker::new(),
        stop: CancellationToken::new(),
        last_call: Duration::ZERO,
    };
    let running = Lanes::start(listener, &carrier).await;
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        callers.push(connect(&address, Instant::now() + SOON).await.unwrap());
    }
    let begun = Instant::now();
    let all = |held: &Held| held.lock().unwrap().values().sum::<usize>();
    while all(&held) < CALLERS {
        assert!(begun.elapsed() < SOON, "{} are held", all(&held));
        yield_now().await;
    }
    let loads: Vec<usize> = held.lock().unwrap().values().copied().collect();
    let (most, least) = (loads.iter().max().unwrap(), loads.iter().min().unwrap());
    assert_eq!(loads.len(), lanes());
    // Two lanes may look at the same moment.
    assert!(most - least <= UNEQUAL + lanes(), "{loads:?}");
    carrier.stop.cancel();
    leave.send(true).unwrap();
    timeout(SOON, running.ended()).await.expect("they end");
    assert!(carrier.open.is_empty());
}
