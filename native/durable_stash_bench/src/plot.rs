//! SVG plots of the rows that have curves.

use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::row::{Curve, Plotted, Row};

/// Draws each plot that has curves, and returns the file names with the titles.
pub(crate) fn draw_all(rows: &[Row], images: &Path) -> Result<Vec<(&'static str, &'static str)>, String> {
    std::fs::create_dir_all(images).map_err(|error| format!("cannot make {}: {error}", images.display()))?;
    let mut drawn = vec![];
    for plot in PLOTS {
        let curves: Vec<_> =
            rows.iter().filter_map(|row| row.curve.as_ref()).filter(|curve| curve.plot == plot.of).collect();
        let points = || curves.iter().flat_map(|curve| &curve.points);
        if points().next().is_some() {
            let file = images.join(plot.file);
            plot.draw(&curves, &file).map_err(|error| format!("cannot draw {}: {error}", file.display()))?;
            drawn.push((plot.file, plot.title));
        }
    }
    Ok(drawn)
}

struct Plot {
    of: Plotted,
    file: &'static str,
    title: &'static str,
    x: &'static str,
    y: &'static str,
    scale: Scale,
}

#[derive(Clone, Copy)]
enum Scale {
    Linear,
    /// Of the values only.
    Values,
    /// Of both: a power is a straight line.
    Both,
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

impl Plot {
    fn draw(&self, curves: &[&Curve], file: &Path) -> Drawn {
        let points = || curves.iter().flat_map(|curve| &curve.points);
        let [left, low] =
            [0, 1].map(|axis| points().map(|point| [point.0, point.1][axis]).fold(f64::INFINITY, f64::min));
        let [right, high] = [0, 1].map(|axis| points().map(|point| [point.0, point.1][axis]).fold(0.0, f64::max));
        // A legend takes a twelfth of the height per line, and covers what is under it.
        let legend = curves.len() as f64 / 12.0;
        let low = low.max(high / 1e6).max(f64::MIN_POSITIVE) * 0.7;
        let values = (low..(high * 1.2).max(low * 8.0) * (high / low).max(8.0).powf(legend)).log_scale();
        match self.scale {
            Scale::Linear => self.draw_in(curves, file, left..right, 0.0..high.max(low) * (1.1 + legend)),
            Scale::Values => self.draw_in(curves, file, left..right, values),
            Scale::Both => self.draw_in(curves, file, (left.max(0.1)..right).log_scale(), values),
        }
    }

    fn draw_in<X, Y>(&self, curves: &[&Curve], file: &Path, x: X, y: Y) -> Drawn
    where
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let root = SVGBackend::new(file, (760, 400)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root);
        chart.caption(self.title, ("sans-serif", 17)).margin(14).x_label_area_size(38).y_label_area_size(70);
        let mut chart = chart.build_cartesian_2d(x, y)?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(self.x).y_desc(self.y).x_label_formatter(&label).y_label_formatter(&label);
        mesh.light_line_style(TRANSPARENT).draw()?;
        for (index, curve) in curves.iter().enumerate() {
            let color = Palette99::pick(index).to_rgba();
            let line = LineSeries::new(curve.points.iter().copied(), color.stroke_width(2));
            let legend = move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2));
            chart.draw_series(line)?.label(&curve.label).legend(legend);
        }
        let mut labels = chart.configure_series_labels();
        labels.background_style(WHITE.mix(0.85)).position(SeriesLabelPosition::UpperLeft).draw()?;
        root.present()?;
        Ok(())
    }
}

/// Without zeros that say nothing.
fn label(value: &f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

const PLOTS: &[Plot] = &[
    Plot {
        of: Plotted::Stash,
        file: "stash.svg",
        title: "A stash in the LiveView, the last run",
        x: "share of the stashes",
        y: "µs",
        scale: Scale::Values,
    },
    Plot {
        of: Plotted::Saved,
        file: "saved.svg",
        title: "From stash to saved, the last run",
        x: "share of the writes",
        y: "µs",
        scale: Scale::Values,
    },
    Plot {
        of: Plotted::Memory,
        file: "memory.svg",
        title: "What the engine has allocated, the last run",
        x: "seconds",
        y: "MiB",
        scale: Scale::Linear,
    },
    Plot {
        of: Plotted::Sessions,
        file: "growth_sessions.svg",
        title: "Time by sessions in memory",
        x: "sessions",
        y: "µs",
        scale: Scale::Both,
    },
    Plot {
        of: Plotted::SessionBytes,
        file: "growth_memory.svg",
        title: "Memory by sessions in memory, the store included",
        x: "sessions",
        y: "bytes",
        scale: Scale::Both,
    },
    Plot { of: Plotted::Keys, file: "growth_keys.svg", title: "Time by keys", x: "keys", y: "µs", scale: Scale::Both },
    Plot {
        of: Plotted::Bytes,
        file: "growth_bytes.svg",
        title: "Time by the bytes of the value",
        x: "bytes",
        y: "µs",
        scale: Scale::Both,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plot_is_drawn_with_its_curves_and_one_without_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let rows: Vec<Row> = [Plotted::Stash, Plotted::Memory, Plotted::Bytes]
            .into_iter()
            .map(|plot| {
                Row::new("some", "thing", "µs", vec![1.0]).with_curve(plot, "the curve", vec![(1.0, 2.0), (10.0, 30.0)])
            })
            .collect();
        let drawn = draw_all(&rows, folder.path()).unwrap();
        assert_eq!(
            drawn.iter().map(|(file, _)| *file).collect::<Vec<_>>(),
            ["stash.svg", "memory.svg", "growth_bytes.svg"]
        );
        for (file, title) in drawn {
            let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
            assert!(text.contains(title) && text.contains("the curve") && text.contains("<polyline"), "{file}");
        }
        assert!(!folder.path().join("saved.svg").exists());
    }
}
