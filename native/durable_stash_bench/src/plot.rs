//! SVG plots of the rows that have curves.

use std::path::Path;

use plotters::prelude::*;

use crate::row::Row;

/// One plot of several rows' curves.
pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) logarithmic: bool,
}

impl Plot<'_> {
    pub(crate) fn draw(&self, rows: &[&Row], file: &Path) -> Result<(), String> {
        let points = || rows.iter().flat_map(|row| &row.curve);
        let bound = |of: fn(&(f64, f64)) -> f64, pick: fn(f64, f64) -> f64| points().map(of).reduce(pick);
        let (Some(left), Some(right), Some(low), Some(high)) = (
            bound(|point| point.0, f64::min),
            bound(|point| point.0, f64::max),
            bound(|point| point.1, f64::min),
            bound(|point| point.1, f64::max),
        ) else {
            return Err(format!("nothing to draw in {}", file.display()));
        };
        let root = SVGBackend::new(file, (760, 400)).into_drawing_area();
        let drawn = (|| {
            root.fill(&WHITE)?;
            let mut chart = ChartBuilder::on(&root);
            chart.caption(self.title, ("sans-serif", 17)).margin(14).x_label_area_size(38).y_label_area_size(64);
            if self.logarithmic {
                let mut chart = chart.build_cartesian_2d(left..right, (low.max(1.0) * 0.7..high * 1.4).log_scale())?;
                chart.configure_mesh().x_desc(self.x).y_desc(self.y).light_line_style(TRANSPARENT).draw()?;
                for (index, row) in rows.iter().enumerate() {
                    let color = Palette99::pick(index).to_rgba();
                    let line = LineSeries::new(row.curve.iter().copied(), color.stroke_width(2));
                    chart.draw_series(line)?.label(&row.what).legend(move |(x, y)| legend(x, y, color));
                }
                chart
                    .configure_series_labels()
                    .background_style(WHITE.mix(0.85))
                    .position(SeriesLabelPosition::UpperLeft)
                    .draw()?;
            } else {
                let mut chart = chart.build_cartesian_2d(left..right, 0.0..high * 1.1)?;
                chart.configure_mesh().x_desc(self.x).y_desc(self.y).light_line_style(TRANSPARENT).draw()?;
                for (index, row) in rows.iter().enumerate() {
                    let color = Palette99::pick(index).to_rgba();
                    chart.draw_series(LineSeries::new(row.curve.iter().copied(), color.stroke_width(2)))?;
                }
            }
            root.present()
        })();
        drawn.map_err(|error| format!("cannot draw {}: {error}", file.display()))
    }
}

fn legend(x: i32, y: i32, color: RGBAColor) -> PathElement<(i32, i32)> {
    PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2))
}
