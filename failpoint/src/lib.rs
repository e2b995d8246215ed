//! Where tests kill a process: just before and just after each [`Step`] that must be done once, whoever dies.
//!
//! Without the feature `armed` all of this is nothing. With it, a process whose environment names a folder in
//! [`FOLDER_VARIABLE`] looks there at every point. If the file [`NEXT`] holds the point's name, the process renames that file to
//! [`HIT`] and sends itself SIGKILL. Of several processes that share a folder, one wins the rename, and one dies. So a test
//! decides while everything runs what dies next, and knows afterwards that it did.

mod step;

pub use step::{Moment, Point, Process, Step};

/// Names the folder, in the environment.
pub const FOLDER_VARIABLE: &str = "NACRE_FAILPOINTS";
/// The file that holds the name of the point at which the next process dies.
pub const NEXT: &str = "next";
/// What it is called when one has died.
pub const HIT: &str = "hit";
/// Whether processes of this build can be killed so.
pub const IS_ARMED: bool = cfg!(feature = "armed");

/// The step is about to be taken.
#[inline]
pub fn before(step: Step) {
    reach(Point {
        step,
        moment: Moment::Before,
    });
}

/// The step was just taken.
#[inline]
pub fn after(step: Step) {
    reach(Point {
        step,
        moment: Moment::After,
    });
}

#[cfg(not(feature = "armed"))]
#[inline]
fn reach(_: Point) {}

#[cfg(feature = "armed")]
fn reach(point: Point) {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from));
    let Some(folder) = folder else { return };
    let next = folder.join(NEXT);
    let wanted = std::fs::read_to_string(&next).is_ok_and(|name| name == point.to_string());
    if wanted && std::fs::rename(next, folder.join(HIT)).is_ok() {
        // Nothing after this runs: the signal is there before the call returns.
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
