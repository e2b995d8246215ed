//! A launch against a driver that is none: it keeps what it was told in order, can refuse any step, and lends nothing
//! that it does not get back. The enclave is a task on this machine that finds its image where the hypervisor would.

use std::fs;
use std::io::PipeWriter;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use nacre_image::eif::{Architecture, Eif, Image, Source, write_file};
use nacre_protocol::vsock::HEARTBEAT;
use nacre_transport::{Listener, connect};
use rustix::io::Errno;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::device::NitroVm;
use super::resources::Pages;
use super::*;
use crate::launcher::InitStatus;

const OFFSET: u64 = 8 << 20;
const CID: u64 = 21;

/// What the driver was asked, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    CreateVm,
    ImageOffset,
    Map(u64, u64),
    AddMemory(usize),
    AddVcpu,
    Start(bool, u64),
    Close,
    Unmap,
}

/// What driver and enclave share with the test.
#[derive(Default)]
struct World {
    calls: Mutex<Vec<Call>>,
    /// The step that fails, which of its calls, and how.
    fails: Option<(Step, usize, Errno)>,
    /// The enclave's memory from address 0.
    memory: Mutex<Vec<u8>>,
    /// Closed when the enclave ends.
    alive: Mutex<Option<PipeWriter>>,
}

impl World {
    fn call(&self, step: Step, call: Call) -> Result<(), Errno> {
        let mut calls = self.calls.lock().unwrap();
        let same = |c: &&Call| std::mem::discriminant(*c) == std::mem::discriminant(&call);
        let before = calls.iter().filter(same).count();
        calls.push(call.clone());
        match self.fails {
            Some((failing, after, errno)) if failing == step && after == before => Err(errno),
            _ => Ok(()),
        }
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    fn count(&self, call: &Call) -> usize {
        self.calls().iter().filter(|c| *c == call).count()
    }

    fn end(&self) {
        self.alive.lock().unwrap().take();
    }
}

struct FakeDevice(Arc<World>);
struct FakeVm(Arc<World>, std::io::PipeReader);
struct FakeMemory(Arc<World>, Vec<u8>);

impl NitroDevice for FakeDevice {
    type Vm = FakeVm;
    type Memory = FakeMemory;

    fn create_vm(&self) -> Result<FakeVm, (Step, Errno)> {
        if let Some((Step::Open, _, errno)) = self.0.fails {
            return Err((Step::Open, errno));
        }
        let created = self.0.call(Step::CreateVm, Call::CreateVm);
        created.map_err(|errno| (Step::CreateVm, errno))?;
        let (reader, writer) = std::io::pipe().unwrap();
        *self.0.alive.lock().unwrap() = Some(writer);
        Ok(FakeVm(Arc::clone(&self.0), reader))
    }

    fn map(&self, page: u64, bytes: u64) -> Result<FakeMemory, Errno> {
        self.0.call(Step::MapMemory, Call::Map(page, bytes))?;
        let bytes = vec![0; usize::try_from(bytes).unwrap()];
        Ok(FakeMemory(Arc::clone(&self.0), bytes))
    }
}

impl AsFd for FakeVm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.1.as_fd()
    }
}

impl NitroVm for FakeVm {
    type Memory = FakeMemory;

    fn image_offset(&mut self) -> Result<u64, Errno> {
        self.0.call(Step::ImageOffset, Call::ImageOffset)?;
        Ok(OFFSET)
    }

    fn add_memory(&mut self, memory: &FakeMemory) -> Result<(), Errno> {
        let length = memory.as_ref().len();
        self.0.call(Step::AddMemory, Call::AddMemory(length))?;
        self.0.memory.lock().unwrap().extend(memory.as_ref());
        Ok(())
    }

    fn add_vcpu(&mut self) -> Result<u32, Errno> {
        self.0.call(Step::AddVcpu, Call::AddVcpu)?;
        Ok(1)
    }

    fn start(&mut self, debug_mode: bool, cid: u64) -> Result<u64, Errno> {
        self.0.call(Step::Start, Call::Start(debug_mode, cid))?;
        Ok(if cid == 0 { CID } else { cid })
    }
}

impl Drop for FakeVm {
    fn drop(&mut self) {
        self.0.calls.lock().unwrap().push(Call::Close);
    }
}

impl AsRef<[u8]> for FakeMemory {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

impl AsMut<[u8]> for FakeMemory {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.1
    }
}

impl Drop for FakeMemory {
    fn drop(&mut self) {
        self.0.calls.lock().unwrap().push(Call::Unmap);
    }
}

/// An instance with a pool of four processors, two a core, and huge pages of both sizes.
fn instance(sys: &Path, small_pages: u64) {
    let write = |path: &str, text: &str| {
        let path = sys.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("module/nitro_enclaves/parameters/ne_cpus", "1,3,5,7\n");
    write(
        "devices/system/cpu/cpu0/topology/thread_siblings_list",
        "0,4\n",
    );
    let pages = "kernel/mm/hugepages";
    write(
        &format!("{pages}/hugepages-2048kB/free_hugepages"),
        &format!("{small_pages}\n"),
    );
    write(&format!("{pages}/hugepages-2048kB/resv_hugepages"), "2\n");
    write(&format!("{pages}/hugepages-32768kB/free_hugepages"), "2\n");
    write(
        &format!("{pages}/hugepages-64kB/free_hugepages"),
        "100000\n",
    );
}

struct Setup {
    dir: tempfile::TempDir,
    world: Arc<World>,
    nitro: Nitro<FakeDevice>,
}

fn setup(fails: Option<(Step, usize, Errno)>) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let eif = dir.path().join("nacre.eif");
    let kernel: Vec<u8> = (0..(3u32 << 20)).map(|n| (n % 251) as u8).collect();
    let image = Image {
        architecture: Architecture::X86_64,
        default_memory: 1 << 30,
        default_cpus: 2,
        kernel: Source::bytes(&kernel),
        command_line: "console=ttyS0".to_owned(),
        metadata: None,
        ramdisks: vec![Source::bytes(b"init"), Source::bytes(b"app")],
        signer: None,
    };
    write_file(image, &eif).unwrap();
    instance(&dir.path().join("sys"), 100);
    let world = Arc::new(World {
        fails,
        ..World::default()
    });
    let nitro = Nitro {
        config: NitroConfig {
            eif,
            memory_bytes: Some(70 << 20),
            cpus: 2,
            cid: None,
            debug_mode: false,
        },
        device: Arc::new(FakeDevice(Arc::clone(&world))),
        resources: Resources::under(&dir.path().join("sys")),
        wire: Wire::Hybrid(dir.path().join("v.sock")),
    };
    Setup { dir, world, nitro }
}

impl Setup {
    /// The guest's init: what it is given to say, it says to the host's port, as soon as somebody listens there.
    async fn say(&self, port: u32, bytes: &[u8]) -> Vec<u8> {
        let path = self.dir.path().join(format!("v.sock_{port}"));
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut stream = loop {
            match connect(&Address::Unix(path.clone()), deadline).await {
                Ok(stream) => break stream,
                Err(_) if Instant::now() < deadline => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        stream.write_all(bytes).await.unwrap();
        let mut answer = vec![0; 1];
        let read = stream.read(&mut answer).await.unwrap_or(0);
        answer.truncate(read);
        answer
    }

    async fn boot(&self) -> Result<NitroEnclave<FakeDevice>, LaunchError> {
        let init = async {
            // Something else on the port is not taken for it.
            assert_eq!(self.say(HEARTBEAT_PORT, b"x").await, b"");
            self.say(HEARTBEAT_PORT, &[HEARTBEAT]).await
        };
        let mut init = std::pin::pin!(init);
        let mut boot = std::pin::pin!(self.nitro.boot());
        tokio::select! {
            booted = &mut boot => booted,
            answer = &mut init => {
                assert_eq!(answer, [HEARTBEAT]);
                boot.await
            }
        }
    }
}

#[tokio::test]
async fn the_driver_is_taken_through_its_steps_and_finds_the_image() {
    let setup = setup(None);
    let enclave = setup.boot().await.unwrap();
    let (small, large) = (2 << 20, 32 << 20);
    let expected = [
        Call::CreateVm,
        Call::ImageOffset,
        Call::Map(large, 2 * large),
        Call::AddMemory(64 << 20),
        Call::Map(small, 3 * small),
        Call::AddMemory(6 << 20),
        Call::AddVcpu,
        Call::AddVcpu,
        Call::Start(false, 0),
    ];
    assert_eq!(setup.world.calls(), expected);

    let memory = std::mem::take(&mut *setup.world.memory.lock().unwrap());
    let file = fs::read(&setup.nitro.config.eif).unwrap();
    let at = OFFSET as usize;
    assert_eq!(memory[at..at + file.len()], file);
    let elsewhere = memory[..at].iter().chain(&memory[at + file.len()..]);
    assert!(elsewhere.copied().all(|byte| byte == 0));
    let image = enclave.image().unwrap();
    let eif = Eif::open(file).unwrap();
    assert_eq!(image.pcrs[&0], eif.measurements().pcr0.to_string());

    Box::new(enclave).stop().await;
    let after = &setup.world.calls()[expected.len()..];
    assert_eq!(
        after,
        [Call::Close, Call::Unmap, Call::Unmap],
        "the enclave first"
    );
}

#[tokio::test]
async fn a_step_that_fails_is_named_and_leaks_nothing() {
    let steps = [
        (Step::Open, 0, Errno::NOENT, "nitro-no-device"),
        (Step::Open, 0, Errno::ACCESS, "nitro-no-permission"),
        (
            Step::CreateVm,
            0,
            Errno::from_raw_os_error(272),
            "nitro-cpu-pool-empty",
        ),
        (
            Step::ImageOffset,
            0,
            Errno::from_raw_os_error(274),
            "nitro-flag",
        ),
        (
            Step::MapMemory,
            0,
            Errno::NOMEM,
            "nitro-huge-pages-not-mapped",
        ),
        (
            Step::MapMemory,
            1,
            Errno::NOMEM,
            "nitro-huge-pages-not-mapped",
        ),
        (
            Step::AddMemory,
            1,
            Errno::from_raw_os_error(264),
            "nitro-memory-other-node",
        ),
        (
            Step::AddVcpu,
            1,
            Errno::from_raw_os_error(272),
            "nitro-cpu-pool-empty",
        ),
        (
            Step::Start,
            0,
            Errno::from_raw_os_error(269),
            "nitro-cores-not-whole",
        ),
        (Step::Start, 0, Errno::EXIST, "nitro-cid-refused"),
    ];
    for (step, nth, errno, code) in steps {
        let mut setup = setup(Some((step, nth, errno)));
        setup.nitro.config.cid = Some(20);
        let Err(error) = setup.boot().await else {
            panic!("{step:?} was passed");
        };
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().starts_with(code), "{error}");
        let maps = |c: &&Call| matches!(c, Call::Map(..));
        let world = &setup.world;
        let mapped = world.calls().iter().filter(maps).count();
        let refused = usize::from(step == Step::MapMemory);
        assert_eq!(world.count(&Call::Unmap), mapped - refused, "{step:?}");
        let made = usize::from(step > Step::CreateVm);
        assert_eq!(world.count(&Call::Close), made, "{step:?}");
    }
}

#[tokio::test]
async fn what_this_instance_lacks_is_said_before_the_driver_is_asked() {
    let refuse = async |change: fn(&mut Setup), code: &str| {
        let mut setup = setup(None);
        change(&mut setup);
        let Err(error) = setup.nitro.boot().await else {
            panic!("{code}: launched");
        };
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(setup.world.calls(), [], "{code}");
    };
    refuse(
        |s| fs::remove_dir_all(s.dir.path().join("sys/module")).unwrap(),
        "nitro-no-device",
    )
    .await;
    let empty: fn(&mut Setup) = |s| {
        let path = s
            .dir
            .path()
            .join("sys/module/nitro_enclaves/parameters/ne_cpus");
        fs::write(path, "\n").unwrap();
    };
    refuse(empty, "nitro-no-cpu-pool").await;
    refuse(|s| s.nitro.config.cpus = 6, "nitro-cpu-pool-too-small").await;
    refuse(|s| s.nitro.config.cpus = 3, "nitro-cores-not-whole").await;
    refuse(
        |s| s.nitro.config.memory_bytes = Some(32 << 20),
        "nitro-memory-too-small",
    )
    .await;
    refuse(
        |s| s.nitro.config.memory_bytes = Some(1 << 30),
        "nitro-few-huge-pages",
    )
    .await;
    let large: fn(&mut Setup) = |s| {
        let file = fs::File::options()
            .write(true)
            .open(&s.nitro.config.eif)
            .unwrap();
        file.set_len(1).unwrap();
    };
    refuse(large, "eif-too-short").await;
}

#[tokio::test]
async fn an_image_has_four_times_its_size() {
    let mut setup = setup(None);
    // 3 MiB and a little: 64 MiB would do for it, and 512 MiB are the usual.
    instance(&setup.dir.path().join("sys"), 300);
    setup.nitro.config.memory_bytes = None;
    let enclave = setup.boot().await.unwrap();
    let memory: usize = setup.world.memory.lock().unwrap().len();
    assert_eq!(memory, 512 << 20);
    drop(enclave);
    let plan = |asked, image| setup.nitro.resources.plan_memory(asked, image);
    let code = |plan: Result<Vec<Pages>, NitroError>| plan.unwrap_err().code();
    assert_eq!(
        code(plan(Some(359 << 20), 90 << 20)),
        "nitro-image-too-large"
    );
    assert!(plan(Some(360 << 20), 90 << 20).is_ok());
}

#[tokio::test]
async fn its_end_is_noticed_with_the_last_words_of_its_init() {
    let setup = setup(None);
    let mut enclave = setup.boot().await.unwrap();
    let still = tokio::time::timeout(Duration::from_millis(20), enclave.ended()).await;
    assert!(still.is_err(), "it runs");
    setup
        .say(EXIT_STATUS_PORT, b"refused manifest-mismatch: /usr/bin\n")
        .await;
    setup.world.end();
    let how = tokio::time::timeout(Duration::from_secs(5), enclave.ended())
        .await
        .unwrap();
    let init = InitStatus::Refused("manifest-mismatch".to_owned());
    assert_eq!((how.part.as_str(), how.init), ("Nitro Enclave", Some(init)));
    drop(enclave);
    assert_eq!(setup.world.count(&Call::Close), 1);
}

#[tokio::test]
async fn an_enclave_that_ends_at_boot_is_not_waited_for() {
    let setup = setup(None);
    let world = Arc::clone(&setup.world);
    let boot = tokio::spawn(async move { setup.nitro.boot().await.map(drop) });
    let ended = async {
        while world.count(&Call::Start(false, 0)) == 0 {
            tokio::task::yield_now().await;
        }
        world.end();
        boot.await.unwrap()
    };
    let error = tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .unwrap();
    assert_eq!(error.unwrap_err().code(), "nitro-ended-at-boot");
    assert_eq!(world.count(&Call::Unmap), 2);
}

#[tokio::test]
async fn another_nodes_listener_costs_only_the_last_words() {
    let setup = setup(None);
    let taken = setup.nitro.wire.host(EXIT_STATUS_PORT);
    let _other = Listener::bind(&taken).await.unwrap();
    let enclave = setup.boot().await.unwrap();
    assert!(enclave.status.is_none());
}
