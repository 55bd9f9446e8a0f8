//! Durations and sizes against an oracle that only adds integers.

use proptest::prelude::*;

use crate::units::{duration, size};

proptest! {
    #[test]
    fn durations_are_read_as_written(h in 0_u32..100, m in 0_u32..60, s in 0_u32..60, ms in 0_u32..1000) {
        let seconds = duration(&format!("{h}h{m}m{s}s{ms}ms")).unwrap();
        let millis = ((u64::from(h) * 60 + u64::from(m)) * 60 + u64::from(s)) * 1000 + u64::from(ms);
        prop_assert!((seconds * 1000.0 - millis as f64).abs() < 1e-6 * (1.0 + millis as f64));
    }

    #[test]
    fn sizes_are_read_as_written(number in 0_u64..9000, unit in 0_usize..9) {
        let (name, scale) = [
            ("B", 1), ("kB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
            ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1_u64 << 40),
        ][unit];
        let expected = number * scale;
        prop_assume!(expected < 9_000_000_000_000_000);
        prop_assert_eq!(size(&format!("{number}{name}")).unwrap(), expected);
        prop_assert_eq!(size(&format!(" {number} {name} ")).unwrap(), expected);
    }

    #[test]
    fn nothing_panics(text in "\\PC*") {
        let _ = (duration(&text), size(&text));
    }
}

#[test]
fn examples() {
    assert_eq!(duration("250ms").unwrap(), 0.25);
    assert_eq!(duration("1h30m").unwrap(), 5400.0);
    assert_eq!(duration("1.5 h").unwrap(), 5400.0);
    assert_eq!(size("1.5KiB").unwrap(), 1536);
    let fails =
        |text: &str| (duration(text).unwrap_err().to_string(), size(text).unwrap_err().to_string());
    assert_eq!(
        fails("20"),
        (
            "`20` has no unit; write such as \"20s\", \"5m\" or \"1h30m\"".to_owned(),
            "`20` has no unit; write such as \"512KiB\", \"16kB\" or \"2GiB\"".to_owned(),
        )
    );
    assert_eq!(fails("5 parsecs").0, "`parsecs` is not a unit of time; use ms, s, m, h or d");
    assert_eq!(
        fails("5gb").1,
        "`gb` is not a unit of size; use B, kB, MB, GB, TB, KiB, MiB, GiB or TiB"
    );
    assert!(fails("").0.starts_with("`` is not a duration"));
    assert!(fails("-1s").0.starts_with("`-1s` is not a duration"));
    assert_eq!(size("99999999TB").unwrap_err().to_string(), "`99999999TB` is too large");
}
