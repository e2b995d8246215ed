//! Bare ONNX Runtime: the same model, input and thread settings, with nothing around it.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::Tensor;

use super::samples::Samples;

/// A session and the one input that it is called with.
pub struct Bare {
    session: Session,
    input: String,
    shape: Vec<i64>,
    data: Vec<f32>,
}

/// ONNX Runtime in this process; there is one a process.
pub struct Runtime {
    environment: Environment,
}

impl Runtime {
    /// Loads the library.
    pub fn load(library: &Path) -> anyhow::Result<Self> {
        let environment = ort::init_from(library).map_err(|e| anyhow!("{e}"))?;
        let environment = environment
            .with_telemetry(false)
            .build()
            .map_err(|e| anyhow!("{e}"))?;
        Ok(Self { environment })
    }
}

impl Bare {
    /// Loads a model with one intra-op thread that does not spin, as a worker does.
    pub fn load(
        runtime: &Runtime,
        model: &Path,
        shape: &[u64],
        data: &[f32],
    ) -> anyhow::Result<Self> {
        let session = Session::builder(&runtime.environment)
            .and_then(|b| Ok(b.with_intra_threads(1)?))
            .and_then(|b| Ok(b.with_inter_threads(1)?))
            .and_then(|mut b| b.commit_from_file(model))
            .map_err(|e| anyhow!("{}: {e}", model.display()))?;
        let input = session
            .inputs()
            .first()
            .context("no input")?
            .name()
            .to_owned();
        Ok(Self {
            session,
            input,
            shape: shape.iter().map(|dimension| *dimension as i64).collect(),
            data: data.to_vec(),
        })
    }

    /// Runs the model; gives the first output's elements.
    pub fn run(&mut self) -> anyhow::Result<Vec<f32>> {
        let tensor = Tensor::from_array((self.shape.clone(), self.data.clone()))
            .map_err(|e| anyhow!("{e}"))?;
        let outputs = self
            .session
            .run(ort::inputs![self.input.as_str() => tensor])
            .map_err(|e| anyhow!("{e}"))?;
        let (_, data) = outputs[0]
            .try_extract_tensor::<f32>()
            .map_err(|e| anyhow!("{e}"))?;
        Ok(data.to_vec())
    }

    /// Times single runs.
    pub fn sample(&mut self, calls: usize) -> anyhow::Result<Samples> {
        let mut samples = Samples::default();
        for _ in 0..calls {
            let begun = Instant::now();
            self.run()?;
            samples.push(begun.elapsed());
        }
        Ok(samples)
    }
}
