//! Which enclave `nacre dev` runs, what its callers must find in the evidence, and how its node is told.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use nacre_attestation_verifier::{Measurements, Pcr, Policy};
use nacre_emulator::measure::measure_process;
use nacre_host_proxy::cli::EnclaveKind;
use nacre_image::eif::Eif;

use super::{Layout, words};
use crate::args::DevArgs;
use crate::error::CliError;

/// Where `nacre image build` puts the image, seen from a folder above this program.
const BUILT_IMAGE: &str = "image/nacre.eif";

/// What runs inside.
#[derive(Debug)]
pub(super) enum DevEnclave {
    /// The programs themselves, beside an emulated module.
    Process(Box<Binaries>),
    /// The image, in an emulated machine or a Nitro Enclave.
    Image { kind: EnclaveKind, eif: PathBuf },
}

/// The programs and the library of process mode.
#[derive(Debug)]
pub(super) struct Binaries {
    enclave: PathBuf,
    worker: PathBuf,
    onnxruntime: PathBuf,
}

impl DevEnclave {
    /// What the arguments ask for. An option that means nothing for that kind is refused.
    pub(super) fn choose(args: &DevArgs) -> Result<Self, CliError> {
        let does_not_fit = |option: &str, kind: &str| {
            Err(CliError::Usage(format!(
                "{option} means nothing with --enclave {kind}"
            )))
        };
        match args.enclave {
            EnclaveKind::Process if args.eif.is_some() => does_not_fit("--eif", "process"),
            EnclaveKind::Process | EnclaveKind::Nitro if args.faults.is_some() => {
                does_not_fit("--faults", "process or nitro")
            }
            EnclaveKind::Process => Ok(Self::Process(Box::new(Binaries::find(
                args.onnxruntime.as_deref(),
            )?))),
            EnclaveKind::Emulator | EnclaveKind::Nitro if args.onnxruntime.is_some() => {
                does_not_fit("--onnxruntime", "emulator or nitro: the image has its own")
            }
            EnclaveKind::Nitro if args.nsm_latency_ms.is_some() => {
                does_not_fit("--nsm-latency-ms", "nitro")
            }
            kind => Ok(Self::Image {
                kind,
                eif: find_image(args.eif.as_deref())?,
            }),
        }
    }

    /// Whether its documents chain to a development root.
    pub(super) fn has_development_root(&self) -> bool {
        !matches!(
            self,
            Self::Image {
                kind: EnclaveKind::Nitro,
                ..
            }
        )
    }

    /// The measurements of exactly what will run.
    pub(super) fn policy(&self) -> Result<Policy, CliError> {
        match self {
            Self::Process(binaries) => {
                let [pcr0, pcr1, pcr2] = binaries.measure()?.map(Pcr);
                Ok(Policy::new(vec![Measurements::new(pcr0, pcr1, pcr2)])?)
            }
            Self::Image { eif, .. } => {
                let image = Eif::open(File::open(eif).map_err(CliError::file(eif))?);
                let found = *image.map_err(anyhow::Error::from)?.measurements();
                let set = Measurements::new(found.pcr0, found.pcr1, found.pcr2);
                Ok(Policy::new(vec![set])?)
            }
        }
    }

    /// The words for `nacre node`, beside those that every node gets.
    pub(super) fn node_arguments(&self, args: &DevArgs, layout: &Layout) -> Vec<OsString> {
        let mut arguments = match self {
            Self::Process(binaries) => words([
                ("--enclave", Some("process".into())),
                ("--enclave-bin", Some(binaries.enclave.clone().into())),
                ("--worker-bin", Some(binaries.worker.clone().into())),
                ("--onnxruntime", Some(binaries.onnxruntime.clone().into())),
            ]),
            Self::Image { kind, eif } => words([
                ("--enclave", Some(name(*kind).into())),
                ("--eif", Some(eif.clone().into())),
            ]),
        };
        if self.has_development_root() {
            arguments.extend(words([("--pki-dir", Some(layout.pki().into()))]));
        }
        if let Some(latency) = args.nsm_latency_ms {
            arguments.extend(words([(
                "--nsm-latency-ms",
                Some(latency.to_string().into()),
            )]));
        }
        if let Some(faults) = &args.faults {
            arguments.extend(words([("--faults", Some(faults.clone().into()))]));
        }
        if let Some(patience) = args.hung_after {
            arguments.extend(words([("--hung-after", Some(patience.to_string().into()))]));
        }
        if let Some(memory) = args.memory {
            arguments.extend(words([("--memory", Some(memory.to_string().into()))]));
        }
        arguments
    }

    /// One line that says what protects callers, and what does not.
    pub(super) fn in_words(&self) -> &'static str {
        match self {
            Self::Process(_) => {
                "in process mode: no enclave protects this machine's processes (DEVELOPMENT ROOT)"
            }
            Self::Image {
                kind: EnclaveKind::Nitro,
                ..
            } => "in a Nitro Enclave of this instance",
            Self::Image { .. } => {
                "the real image in an emulated machine: nothing protects it from this one (DEVELOPMENT ROOT)"
            }
        }
    }
}

/// The word for this kind on the command line.
pub(super) fn name(kind: EnclaveKind) -> &'static str {
    match kind {
        EnclaveKind::Process => "process",
        EnclaveKind::Emulator => "emulator",
        EnclaveKind::Nitro => "nitro",
    }
}

impl Binaries {
    fn find(onnxruntime: Option<&Path>) -> Result<Self, CliError> {
        let nacre = std::env::current_exe()?;
        let beside = |name: &str| {
            let path = nacre.with_file_name(name);
            let missing =
                || CliError::Usage(format!("{} is missing: run `make build`", path.display()));
            path.is_file().then(|| path.clone()).ok_or_else(missing)
        };
        // Not read by the command line's parser, where a variable would look like an option that was given.
        let library = onnxruntime
            .map(Path::to_owned)
            .or_else(|| std::env::var_os("NACRE_ONNXRUNTIME").map(PathBuf::from))
            .or_else(|| above(&nacre, ".deps/onnxruntime/libonnxruntime.so"))
            .filter(|path| path.is_file());
        let library = library.ok_or_else(|| {
            CliError::Usage(
                "libonnxruntime.so is missing: run `make setup`, or name it with --onnxruntime"
                    .to_owned(),
            )
        })?;
        Ok(Self {
            enclave: beside("nacre-enclave")?,
            worker: beside("nacre-worker")?,
            onnxruntime: std::path::absolute(library)?,
        })
    }

    fn measure(&self) -> Result<[[u8; 48]; 3], CliError> {
        Ok(measure_process(
            &self.enclave,
            &self.worker,
            &self.onnxruntime,
        )?)
    }
}

fn find_image(given: Option<&Path>) -> Result<PathBuf, CliError> {
    let found = match given {
        Some(path) => Some(path.to_owned()),
        None => above(&std::env::current_exe()?, BUILT_IMAGE),
    };
    let found = found.filter(|path| path.is_file()).ok_or_else(|| {
        let message = "there is no enclave image: `make image` builds one, or name one with --eif";
        CliError::Usage(message.to_owned())
    })?;
    Ok(std::path::absolute(found)?)
}

/// The nearest folder above `path` that has such a file.
fn above(path: &Path, file: &str) -> Option<PathBuf> {
    let found = path.ancestors().map(|dir| dir.join(file));
    found.into_iter().find(|path| path.is_file())
}
