//! The simulation in its short form: whatever the liars do, exactly the nodes below the level are slashed, once a window.

#[path = "../examples/simulation/world.rs"]
mod world;

use world::{Liars, World};

#[test]
fn two_liars_of_seven_neither_slash_the_honest_nor_save_the_failing() {
    for liars in Liars::ALL {
        let counts = World::new(40, liars, 7).run(2);
        println!("{liars:?}: {counts}");
        assert!(counts.is_right(), "{liars:?}: {counts}");
        assert!(counts.below > 0, "nothing to slash: {counts}");
        assert!(counts.excused > 0, "nothing to excuse: {counts}");
        let broken = liars == Liars::BreakTheirWord;
        assert_eq!(counts.uncounted, if broken { 2 * 2 * 144 } else { 0 });
    }
}
