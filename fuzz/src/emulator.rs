//! The NSM emulator: any bytes from a program, and what its registers may and may not do.

use std::cell::RefCell;
use std::sync::LazyLock;

use minicbor::Decoder;
use nacre_attestation_verifier::{Roots, UnixMillis, VerificationTime, verify};
use nacre_emulator::nsm::{ErrorCode, MAX_RESPONSE, Nsm, PCR_COUNT, Pcr, RANDOM_LEN};
use nacre_emulator::testing::DevNsm;

/// Most requests of one input.
const MAX_REQUESTS: usize = 16;

/// Hands the module one request after the other, each with an hour (one byte), its length (two, big-endian) and its
/// bytes; the last may be cut short. Returns the first error that the module answers.
pub fn nsm_request(data: &[u8]) -> Result<(), &'static str> {
    let mut module = Module::take();
    let mut verdict = Ok(());
    let mut rest = data;
    for _ in 0..MAX_REQUESTS {
        let Some((&[hour, high, low], after)) = rest.split_first_chunk() else {
            break;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (request, after) = after.split_at(length.min(after.len()));
        rest = after;
        verdict = verdict.and(module.ask(request, u64::from(hour)));
    }
    module.give_back();
    verdict
}

/// A module and what is known of it.
struct Module {
    nsm: DevNsm,
    registers: Registers,
    roots: Roots,
    /// As when it was made, but for the values of registers that are not locked.
    is_open: bool,
}

/// Whether each register is locked, and its value.
type Registers = Vec<(bool, Pcr)>;

thread_local! {
    /// Making a module takes milliseconds, so one whose open registers can still be used is kept.
    static OPEN: RefCell<Option<Module>> = const { RefCell::new(None) };
}

impl Module {
    fn take() -> Self {
        if let Some(module) = OPEN.take() {
            return module;
        }
        let mut nsm = DevNsm::new([[1; 48], [2; 48], [3; 48]], START_MS);
        let roots = match Roots::development(nsm.root_der().to_vec()) {
            Ok(roots) => roots,
            Err(error) => panic!("the module's root is damaged: {error}"),
        };
        let registers = registers(nsm.module());
        Self {
            nsm,
            registers,
            roots,
            is_open: true,
        }
    }

    fn give_back(self) {
        if self.is_open {
            OPEN.set(Some(self));
        }
    }

    fn ask(&mut self, request: &[u8], hour: u64) -> Result<(), &'static str> {
        let now_ms = START_MS + hour * 3_600_000;
        let answer = self.nsm.module().handle(request, now_ms);
        assert!(answer.len() <= MAX_RESPONSE);
        let before = std::mem::take(&mut self.registers);
        let after = registers(self.nsm.module());
        check_locks(&before, &after);
        let mut input = Decoder::new(&answer);
        let outcome = match read(&mut input, &before, &after) {
            Ok(Answer::Error(code)) => Err(code),
            Ok(Answer::Done) => Ok(()),
            Ok(Answer::Document(document)) => {
                // Certificates follow the time.
                self.is_open &= hour == 0;
                self.check_document(document, &after, now_ms);
                Ok(())
            }
            Err(error) => panic!("an answer is not CBOR: {error}"),
        };
        assert_eq!(input.position(), answer.len(), "bytes after the answer");
        let locks = |registers: &Registers| registers.iter().filter(|(locked, _)| *locked).count();
        self.is_open &= locks(&before) == locks(&after);
        self.registers = after;
        outcome
    }

    /// Whatever was asked for, the verifier takes the document, and it shows the locked registers.
    fn check_document(&self, document: &[u8], registers: &Registers, now_ms: u64) {
        let at = VerificationTime::Archive(UnixMillis(now_ms));
        let evidence = match verify(document, &self.roots, at) {
            Ok(evidence) => evidence,
            Err(error) => panic!("the verifier refuses a document: {error}"),
        };
        assert_eq!(evidence.timestamp_ms(), now_ms);
        let shown = evidence.pcrs().iter().map(|(index, pcr)| (*index, pcr.0));
        let locked = (0..).zip(registers).filter(|(_, (locked, _))| *locked);
        assert!(shown.eq(locked.map(|(index, (_, value))| (index, *value))));
    }
}

enum Answer<'a> {
    Error(&'static str),
    Done,
    Document(&'a [u8]),
}

/// Reads an answer and holds it against what it did to the registers.
fn read<'a>(
    input: &mut Decoder<'a>,
    before: &Registers,
    after: &Registers,
) -> Result<Answer<'a>, minicbor::decode::Error> {
    let changed: Vec<usize> = (0..PCR_COUNT)
        .filter(|index| before[*index] != after[*index])
        .collect();
    if input.datatype()? == minicbor::data::Type::String {
        let only_locks = changed
            .iter()
            .all(|index| before[*index].1 == after[*index].1);
        assert!(only_locks, "locking keeps the value");
        match input.str()? {
            "LockPCR" => assert_eq!(changed.len(), 1),
            "LockPCRs" => {}
            other => panic!("{other} is no answer"),
        }
        return Ok(Answer::Done);
    }
    assert_eq!(input.map()?, Some(1));
    let operation = input.str()?;
    if operation == "ExtendPCR" {
        let value = field(input, "data")?;
        assert_eq!(changed.len(), 1, "one register is extended");
        let (locked, now) = &after[changed[0]];
        assert!(!locked && now == value);
        return Ok(Answer::Done);
    }
    assert!(changed.is_empty(), "{operation} changes no register");
    match operation {
        "Error" => Ok(Answer::Error(error_code(input.str()?))),
        "GetRandom" => {
            assert_eq!(field(input, "random")?.len(), RANDOM_LEN);
            Ok(Answer::Done)
        }
        "Attestation" => field(input, "document").map(Answer::Document),
        "DescribePCR" | "DescribeNSM" => input.skip().map(|()| Answer::Done),
        other => panic!("{other} is no answer"),
    }
}

/// The byte string in a map of one.
fn field<'a>(input: &mut Decoder<'a>, name: &str) -> Result<&'a [u8], minicbor::decode::Error> {
    assert_eq!(input.map()?, Some(1));
    assert_eq!(input.str()?, name);
    input.bytes()
}

fn check_locks(before: &Registers, after: &Registers) {
    for (old, new) in before.iter().zip(after) {
        assert!(!old.0 || old == new, "a locked register stays as it is");
    }
    assert!(after[..16].iter().all(|(locked, _)| *locked));
}

/// Asks for every register.
fn registers(module: &mut Nsm) -> Registers {
    let describe = |index: usize| {
        let answer = module.handle(&DESCRIPTIONS[index], START_MS);
        let mut input = Decoder::new(&answer);
        let mut read = || {
            input.map()?;
            input.str()?;
            input.map()?;
            input.str()?;
            let value = Pcr::try_from(input.bytes()?);
            input.str()?;
            Ok::<_, minicbor::decode::Error>((input.bool()?, value))
        };
        match read() {
            Ok((locked, Ok(value))) => (locked, value),
            _ => panic!("PCR{index} cannot be described"),
        }
    };
    (0..PCR_COUNT).map(describe).collect()
}

/// `{"DescribePCR": {"index": n}}` for each register.
static DESCRIPTIONS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let number = |index: u8| match index {
        0..=23 => vec![index],
        _ => vec![0x18, index],
    };
    (0..32)
        .map(|index| [b"\xa1\x6bDescribePCR\xa1\x65index", &*number(index)].concat())
        .collect()
});

fn error_code(text: &str) -> &'static str {
    let codes = [
        ErrorCode::InvalidArgument,
        ErrorCode::InvalidIndex,
        ErrorCode::ReadOnlyIndex,
        ErrorCode::InvalidOperation,
        ErrorCode::BufferTooSmall,
        ErrorCode::InputTooLarge,
        ErrorCode::InternalError,
    ];
    match codes.iter().find(|code| code.as_str() == text) {
        Some(code) => code.as_str(),
        None => panic!("{text} is no error code"),
    }
}

/// When the module starts, 2025-06-15T15:06:40Z.
const START_MS: u64 = 1_750_000_000_000;
