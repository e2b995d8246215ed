//! Where the routes come from: the control plane, or a file that the operator writes.

mod control_plane;
mod file;

use crate::routes::Routes;
use crate::table::TableError;

pub use control_plane::ControlPlane;
pub use file::RoutesFile;

/// A source of routes.
#[derive(Debug)]
pub enum Source {
    /// What is deployed.
    ControlPlane(ControlPlane),
    /// What an operator wrote.
    File(RoutesFile),
}

/// Why there are no routes to begin with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file cannot be read.
    #[error("routes-unreadable: {path}: {error}")]
    Unreadable {
        /// Which.
        path: std::path::PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// What it holds is no table.
    #[error("{path}: {error}")]
    Table {
        /// Which.
        path: std::path::PathBuf,
        /// What is wrong.
        error: TableError,
    },
}

impl SourceError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "routes-unreadable",
            Self::Table { error, .. } => error.code(),
        }
    }
}

impl Source {
    /// Brings the first routes. A control plane that does not answer is waited for, unless routes were kept.
    pub(crate) async fn begin(&mut self, routes: &Routes) -> Result<(), SourceError> {
        match self {
            Self::ControlPlane(control_plane) => {
                control_plane.begin(routes).await;
                Ok(())
            }
            Self::File(file) => file.begin(routes).await,
        }
    }

    /// Keeps the routes up to date, and as they are when nothing new can be had. Does not end.
    pub(crate) async fn follow(self, routes: Routes) {
        match self {
            Self::ControlPlane(control_plane) => control_plane.follow(&routes).await,
            Self::File(file) => file.follow(&routes).await,
        }
    }
}
