//! Keeps a function's worker running.
//!
//! Calls take turns at the one worker. A worker that dies or is killed fails the call that it had, and no other:
//! inference changes nothing, so that call is tried once more on a new worker, unless it ran out of time. A worker
//! that dies idle is replaced at once, before a call finds out. Where the model no longer loads, attempts come at
//! growing distances, and calls in between get the reason immediately.

use std::future::Future;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::event::{Events, FunctionEvent, FunctionEventKind};
use super::line::Line;
use super::process::ending;
use super::to_the_end::ToTheEnd;
use super::worker::{InferOutput, Worker};
use super::{WorkerConfig, WorkerError};
use crate::tensor::{ModelSpec, Tensor};
use crate::worker::wire::Isolation;

/// A function that answers calls. Dropping it kills its worker.
#[derive(Debug)]
pub struct FunctionRunner {
    shared: Arc<Shared>,
    closed: watch::Sender<bool>,
}

impl FunctionRunner {
    /// Starts a worker and loads the model. Events that find `events` full are dropped.
    pub async fn start(
        function: &str,
        config: WorkerConfig,
        model: Bytes,
        events: mpsc::Sender<FunctionEvent>,
    ) -> Result<FunctionRunner, WorkerError> {
        let events = Events::new(function, events);
        let worker = Worker::start_logged(&config, model.clone(), events.log_sink()).await?;
        let (closed, watch) = watch::channel(false);
        let shared = Arc::new(Shared {
            permits: Arc::new(Semaphore::new(config.max_queue.saturating_add(1))),
            spec: Arc::new(worker.spec().clone()),
            isolation: *worker.isolation(),
            up: AtomicBool::new(true),
            closed: watch,
            slot: Arc::new(Mutex::new(Slot::Empty)),
            line: Arc::default(),
            config,
            model,
            events,
        });
        let mut slot = shared.slot.lock().await;
        shared.install(&mut slot, worker);
        drop(slot);
        Ok(FunctionRunner { shared, closed })
    }

    /// The model's inputs and outputs.
    pub fn spec(&self) -> &Arc<ModelSpec> {
        &self.shared.spec
    }

    /// The walls around the first worker; later ones have the same, or do not serve.
    pub fn isolation(&self) -> &Isolation {
        &self.shared.isolation
    }

    /// Whether a worker stands ready; false while one is being replaced.
    pub fn is_ready(&self) -> bool {
        self.shared.up.load(Ordering::Acquire)
    }

    /// Calls that run or wait for their turn.
    pub fn in_flight(&self) -> usize {
        let places = self.shared.config.max_queue.saturating_add(1);
        places.saturating_sub(self.shared.permits.available_permits())
    }

    /// How long the first of those that wait has waited.
    pub fn oldest_wait(&self) -> Duration {
        self.shared.line.oldest(Instant::now())
    }

    /// Process id of the worker, where there is one.
    pub async fn pid(&self) -> Option<u32> {
        match &*self.shared.slot.lock().await {
            Slot::Up(worker) => Some(worker.pid()),
            Slot::Empty | Slot::Down { .. } => None,
        }
    }

    /// Computes `outputs`, or all of them, when it is this call's turn. A computation that has begun runs to its end
    /// even where the caller goes away meanwhile: a worker is not killed for a closed connection.
    pub async fn infer(
        &self,
        inputs: Vec<Tensor>,
        outputs: Option<Vec<String>>,
    ) -> Result<InferOutput, WorkerError> {
        self.infer_then(inputs, outputs, |_| ()).await
    }

    /// The same, with `computed` told of the output where there is one: also where the caller has gone by then.
    pub async fn infer_then(
        &self,
        inputs: Vec<Tensor>,
        outputs: Option<Vec<String>>,
        computed: impl FnOnce(&InferOutput) + Send + 'static,
    ) -> Result<InferOutput, WorkerError> {
        let permit = self
            .shared
            .permits
            .clone()
            .try_acquire_owned()
            .map_err(|_| WorkerError::Overloaded)?;
        let shared = self.shared.clone();
        let waits = shared.line.join(Instant::now());
        let turn = shared.slot.clone().lock_owned();
        let mut slot = timeout(shared.config.infer_timeout, turn)
            .await
            .map_err(|_| WorkerError::Overloaded)?;
        drop(waits);
        let call = async move {
            let _permit = permit;
            let call = shared.call(&mut slot, &inputs, outputs.as_deref());
            let output = shared.unless_closed(call).await??;
            computed(&output);
            Ok(output)
        };
        ToTheEnd::new(call).await
    }
}

impl Drop for FunctionRunner {
    fn drop(&mut self) {
        self.closed.send_replace(true);
        self.shared
            .events
            .emit(FunctionEventKind::Stopped, "stopped".to_owned());
    }
}

#[derive(Debug)]
struct Shared {
    config: WorkerConfig,
    model: Bytes,
    spec: Arc<ModelSpec>,
    isolation: Isolation,
    slot: Arc<Mutex<Slot>>,
    line: Arc<Line>,
    /// One for each call that waits, and one for the call that runs.
    permits: Arc<Semaphore>,
    up: AtomicBool,
    closed: watch::Receiver<bool>,
    events: Events,
}

#[derive(Debug)]
enum Slot {
    /// No worker, and nothing against starting one.
    Empty,
    Up(Worker),
    /// The model did not load; not before `retry_at` again.
    Down {
        failures: u32,
        retry_at: Instant,
        error: WorkerError,
    },
}

impl Shared {
    /// A call whose turn it is, to its answer.
    async fn call(
        self: &Arc<Self>,
        slot: &mut Slot,
        inputs: &[Tensor],
        outputs: Option<&[String]>,
    ) -> Result<InferOutput, WorkerError> {
        let first = self.attempt(slot, inputs, outputs).await;
        let Err(WorkerError::WorkerCrashed { .. }) = first else {
            return first;
        };
        self.attempt(slot, inputs, outputs).await
    }

    async fn attempt(
        self: &Arc<Self>,
        slot: &mut Slot,
        inputs: &[Tensor],
        outputs: Option<&[String]>,
    ) -> Result<InferOutput, WorkerError> {
        let worker = self.ready(slot).await?;
        let result = worker.infer(inputs, outputs).await;
        if let Err(error) = &result
            && error.worker_is_lost()
        {
            self.lose(slot, &error.for_log());
        }
        result
    }

    /// The worker, started if there is none and it is time.
    async fn ready<'a>(
        self: &Arc<Self>,
        slot: &'a mut Slot,
    ) -> Result<&'a mut Worker, WorkerError> {
        let failures = match slot {
            Slot::Up(_) => None,
            Slot::Empty => Some(0),
            Slot::Down {
                retry_at, error, ..
            } if Instant::now() < *retry_at => return Err(error.clone()),
            Slot::Down { failures, .. } => Some(*failures),
        };
        if let Some(failures) = failures {
            self.start(slot, failures).await;
        }
        match slot {
            Slot::Up(worker) => Ok(worker),
            Slot::Down { error, .. } => Err(error.clone()),
            Slot::Empty => Err(WorkerError::Stopping),
        }
    }

    /// One attempt at a new worker, after `failures` that failed.
    async fn start(self: &Arc<Self>, slot: &mut Slot, failures: u32) {
        let log = self.events.log_sink();
        let error = match Worker::start_logged(&self.config, self.model.clone(), log).await {
            Ok(worker) if *worker.spec() == *self.spec => return self.install(slot, worker),
            Ok(_) => WorkerError::WorkerProtocol {
                reason: "the same model has other inputs or outputs than before".to_owned(),
            },
            Err(error) => error,
        };
        let pause = backoff(failures);
        self.events.emit(
            FunctionEventKind::RestartFailed,
            format!("{}; next attempt in {pause:?}", error.code()),
        );
        *slot = Slot::Down {
            failures: failures.saturating_add(1),
            retry_at: Instant::now() + pause,
            error,
        };
    }

    /// Puts a worker into its place and has its end watched.
    fn install(self: &Arc<Self>, slot: &mut Slot, worker: Worker) {
        let walls = worker.isolation().standing().join(", ");
        self.events.emit(
            FunctionEventKind::Started,
            format!("worker {} has loaded the model; {walls}", worker.pid()),
        );
        tokio::spawn(watch_worker(Arc::downgrade(self), worker.ended()));
        self.up.store(true, Ordering::Release);
        *slot = Slot::Up(worker);
    }

    /// Drops the worker, which kills it; its watcher then sees to the next one, unless a call is faster.
    fn lose(&self, slot: &mut Slot, why: &str) {
        self.up.store(false, Ordering::Release);
        self.events
            .emit(FunctionEventKind::WorkerLost, why.to_owned());
        *slot = Slot::Empty;
    }

    /// What `work` gives, or [`WorkerError::Stopping`] as soon as the runner is dropped.
    async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Result<T, WorkerError> {
        let mut closed = self.closed.clone();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => Err(WorkerError::Stopping),
            done = work => Ok(done),
        }
    }
}

/// Waits for the end of one worker and starts the next one, again and again until one stands. Holds the
/// function only while it works, so that a dropped function is gone at once.
async fn watch_worker(function: Weak<Shared>, mut ended: watch::Receiver<Option<ExitStatus>>) {
    let status = ended
        .wait_for(Option::is_some)
        .await
        .map_or(None, |status| *status);
    loop {
        let Some(shared) = function.upgrade() else {
            return;
        };
        let step = shared
            .unless_closed(replace(&shared, &ended, status))
            .await
            .unwrap_or(None);
        drop(shared);
        match step {
            Some(at) => sleep_until(at).await,
            None => return,
        }
    }
}

/// One step of replacing the worker that `ended`: the time of the next, or `None` where no more is to do.
async fn replace(
    shared: &Arc<Shared>,
    ended: &watch::Receiver<Option<ExitStatus>>,
    status: Option<ExitStatus>,
) -> Option<Instant> {
    let mut slot = shared.slot.lock().await;
    match &*slot {
        // A call has replaced it already, and that worker has a watcher of its own.
        Slot::Up(worker) if !worker.ended().same_channel(ended) => return None,
        Slot::Up(_) => {
            let how = status.map_or_else(|| "ended".to_owned(), ending);
            shared.lose(&mut slot, &format!("worker-crashed while idle: {how}"));
        }
        Slot::Empty => {}
        Slot::Down { retry_at, .. } if Instant::now() < *retry_at => return Some(*retry_at),
        Slot::Down { .. } => {}
    }
    let _ = shared.ready(&mut slot).await;
    match &*slot {
        Slot::Down { retry_at, .. } => Some(*retry_at),
        Slot::Up(_) | Slot::Empty => None,
    }
}

/// How long to wait after so many failures before: 100 ms, doubled each time, 30 s at most.
fn backoff(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(30);
    FIRST
        .saturating_mul(2u32.saturating_pow(failures))
        .min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_growing() {
        assert_eq!(backoff(0), Duration::from_millis(100));
        assert_eq!(backoff(3), Duration::from_millis(800));
        assert_eq!(backoff(40), Duration::from_secs(30));
        assert_eq!(backoff(u32::MAX), Duration::from_secs(30));
    }
}
