//! How steeply a curve grows: the exponent `e` of `y = c * x^e` that fits it best.

/// Least squares over the logarithms. 0 is flat, 1 linear, 2 quadratic. Not a number for fewer than two different `x`.
///
/// Nothing, or less, has no logarithm: that is the memory of a few sessions where others gave back as much. It is left out.
pub(crate) fn exponent(points: &[(f64, f64)]) -> f64 {
    let above = points.iter().filter(|(_, y)| *y > 0.0);
    let logs: Vec<(f64, f64)> = above.map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let (mean_x, mean_y) = logs.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / count, b + y / count));
    let covariance: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    covariance / variance
}

/// That of the last two points: what a fixed cost hides at small sizes shows at the largest.
pub(crate) fn last_exponent(points: &[(f64, f64)]) -> f64 {
    exponent(points.get(points.len().saturating_sub(2)..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn along(y: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        [1.0, 10.0, 100.0, 1_000.0].map(|x| (x, y(x))).to_vec()
    }

    #[test]
    fn powers_are_found_exactly() {
        for power in [0.0, 0.5, 1.0, 2.0] {
            let points = along(|x: f64| 7.0 * x.powf(power));
            assert!((exponent(&points) - power).abs() < 1e-9);
            assert!((last_exponent(&points) - power).abs() < 1e-9);
        }
    }

    #[test]
    fn what_is_below_what_can_be_measured_is_left_out() {
        let mut points = along(|x| 3.0 * x);
        (points[0].1, points[1].1) = (-12.0, 0.0);
        assert!((exponent(&points) - 1.0).abs() < 1e-9);
        points[2].1 = 0.0;
        assert!(exponent(&points).is_nan(), "one point has no slope");
    }

    #[test]
    fn a_quadratic_part_under_a_fixed_cost_shows_in_the_last_exponent() {
        let points = along(|x| 1_000.0 + x * x);
        assert!(exponent(&points) < 1.1, "{}", exponent(&points));
        assert!(last_exponent(&points) > 1.9, "{}", last_exponent(&points));
        assert!(last_exponent(&along(|x| 1_000.0 + x)) < 1.0);
    }
}
