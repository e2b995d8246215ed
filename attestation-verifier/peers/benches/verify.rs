//! One verification of one document, by each verifier, side by side.
//!
//! What is timed is the library's own function from bytes to verified claims: parsing, the chain, the signature. Age and
//! measurements are not part of it. Every verifier must accept the document first, or nothing is measured.
//!
//! The time is the thread's own on its core, not the wall's: nothing here waits, and what else the machine does is not
//! to count.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot be set up has nothing to say"
)]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use attestation_doc_validation::validate_and_parse_attestation_doc;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use criterion::Criterion;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use nacre_attestation_verifier::{
    Backend, Roots, UnixMillis, UnverifiedDocument, VerificationTime, Verifier,
};
use nacre_verifier_peers::{bench, corpus, pem};
use nitro_attest::UnparsedAttestationDoc;
use qos_nsm::nitro::attestation_doc_from_der;
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// A case of the full shape: four certificates in the bundle, 16 PCRs.
const CASE: &str = "valid-aws-shape";
/// A document of AWS's hardware, where the machine has the collection.
const AWS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../shared/data/attestation/valid/20260630_tkhq-rust-sdk_277e236b.bin"
);

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(ThreadTime)
        .without_plots()
        .sample_size(60)
        .nresamples(20_000)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    measure(&mut criterion, bench::CORPUS_DOCUMENT, &from_corpus());
    match from_hardware() {
        Some(subject) => measure(&mut criterion, bench::AWS_DOCUMENT, &subject),
        None => eprintln!("no document of AWS's hardware on this machine: not measured"),
    }
    criterion.final_summary();
}

struct Subject {
    document: Vec<u8>,
    roots: Roots,
    time_ms: u64,
}

fn from_corpus() -> Subject {
    let cases = corpus::read(Path::new(corpus::PATH)).expect("the corpus is there");
    let case = cases
        .iter()
        .find(|case| case.name == CASE)
        .expect("the case is in the corpus");
    let bytes = |text| BASE64_STANDARD.decode(text).expect("base64");
    Subject {
        document: bytes(&case.document),
        roots: Roots::development(bytes(&case.root)).expect("a root"),
        time_ms: case.time_ms,
    }
}

fn from_hardware() -> Option<Subject> {
    let document = fs::read(AWS).ok()?;
    let parsed = UnverifiedDocument::parse(&document).expect("a document");
    let time_ms = parsed.claims().timestamp_ms;
    Some(Subject {
        document,
        roots: Roots::aws(),
        time_ms,
    })
}

fn measure(criterion: &mut Criterion<ThreadTime>, name: &str, subject: &Subject) {
    let Subject {
        document,
        roots,
        time_ms,
    } = subject;
    let seconds = time_ms / 1000;
    let mut group = criterion.benchmark_group(name);

    let at = VerificationTime::Live(UnixMillis(*time_ms));
    for (title, backend, cached) in [
        (bench::COLD, Backend::AwsLc, false),
        (bench::CACHED, Backend::AwsLc, true),
        (bench::PORTABLE_COLD, Backend::Portable, false),
        (bench::PORTABLE_CACHED, Backend::Portable, true),
    ] {
        let verifier = Verifier::new(roots.clone()).with_backend(backend);
        let verifier = if cached {
            verifier
        } else {
            verifier.with_cache_capacity(0)
        };
        verifier.verify(document, at).expect("accepted");
        group.bench_function(title, |bencher| {
            bencher.iter(|| verifier.verify(black_box(document), at));
        });
    }

    let root_pem = pem::certificate(roots.der()).leak();
    attestation_doc_validation::seam::set(root_pem.as_bytes(), seconds);
    validate_and_parse_attestation_doc(document).expect("accepted");
    group.bench_function(bench::ATTESTATION_DOC_VALIDATION, |bencher| {
        bencher.iter(|| validate_and_parse_attestation_doc(black_box(document)));
    });

    nitro_attest::seam::set(Sha256::digest(roots.der()).to_vec().leak());
    let now = i64::try_from(seconds).map(OffsetDateTime::from_unix_timestamp);
    let now = now.expect("a time").expect("a time");
    let nitro_attest =
        |document: &[u8]| UnparsedAttestationDoc::from(document).parse_and_verify(now);
    nitro_attest(document).expect("accepted");
    group.bench_function(bench::NITRO_ATTEST, |bencher| {
        bencher.iter(|| nitro_attest(black_box(document)));
    });

    attestation_doc_from_der(document, roots.der(), seconds).expect("accepted");
    group.bench_function(bench::QOS_NSM, |bencher| {
        bencher.iter(|| attestation_doc_from_der(black_box(document), roots.der(), seconds));
    });
    group.finish();
}

/// How long the thread was on a core.
struct ThreadTime;

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(time).expect("time since the thread began")
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}
