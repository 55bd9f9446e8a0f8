//! Numbers as sentences say them.

/// A number to so many significant digits.
#[must_use]
pub fn digits(value: f64, significant: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let place = value.abs().log10().floor() as i32;
    if (-6..9).contains(&place) {
        format!("{value:.*}", usize::try_from(significant - 1 - place).unwrap_or(0))
    } else {
        format!("{value:.*e}", usize::try_from(significant - 1).unwrap_or(0))
    }
}

/// The same, with its sign.
#[must_use]
pub fn signed_digits(value: f64, significant: i32) -> String {
    let text = digits(value, significant);
    if value > 0.0 { format!("+{text}") } else { text }
}

/// A value with about five significant digits, as many decimals as make them.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    if !(-4..9).contains(&magnitude) {
        return format!("{value:.4e}");
    }
    let decimals = (4 - magnitude).clamp(0, 8) as usize;
    format!("{value:.decimals$}")
}

/// The same, with its sign.
#[must_use]
pub fn signed(value: f64) -> String {
    format!("{}{}", if value < 0.0 { "-" } else { "+" }, number(value.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_significant_and_no_more() {
        assert_eq!(digits(0.012_345, 3), "0.0123");
        assert_eq!(digits(12_345.6, 3), "12346");
        assert_eq!(digits(1.5e-8, 2), "1.5e-8");
        assert_eq!(signed_digits(0.4647, 3), "+0.465");
        assert_eq!(signed_digits(-0.4647, 3), "-0.465");
        assert_eq!(digits(0.0, 3), "0");
        assert_eq!(digits(f64::NAN, 3), "NaN");
    }
}
