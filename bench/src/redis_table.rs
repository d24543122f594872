//! The table of the runs on Redis.

use std::fmt::Write as _;

use serde::Serialize;

/// One figure, with what it has to be.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    name: String,
    /// A share in percent, or a cost.
    value: f64,
    kind: Kind,
    must: f64,
    goal: f64,
    /// Ours and raw, a second, where it is a share.
    rates: Option<[f64; 2]>,
    /// The least and the greatest of all rounds.
    range: [f64; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Kind {
    /// Percent of a raw rate: more is better.
    Share,
    /// Less is better.
    Cost,
}

impl Row {
    pub(crate) fn share(name: &str, ours: f64, raw: f64, must: f64, goal: f64) -> Row {
        let value = 100.0 * ours / raw;
        Row { name: name.to_owned(), value, kind: Kind::Share, must, goal, rates: Some([ours, raw]), range: [value; 2] }
    }

    pub(crate) fn cost(name: &str, value: f64, must: f64, goal: f64) -> Row {
        Row { name: name.to_owned(), value, kind: Kind::Cost, must, goal, rates: None, range: [value; 2] }
    }

    /// The median round of each row, by its value. All rounds have the same rows.
    pub(crate) fn medians(rounds: Vec<Vec<Row>>) -> Vec<Row> {
        let rows = rounds.first().map_or(0, Vec::len);
        let median = |at: usize| {
            let mut all: Vec<&Row> = rounds.iter().map(|round| &round[at]).collect();
            all.sort_by(|one, other| one.value.total_cmp(&other.value));
            let range = [all[0].value, all[all.len() - 1].value];
            Row { range, ..all[all.len() / 2].clone() }
        };
        (0..rows).map(median).collect()
    }

    fn verdict(&self) -> &'static str {
        let reaches = |bound: f64| if self.kind == Kind::Share { self.value >= bound } else { self.value <= bound };
        match (reaches(self.goal), reaches(self.must)) {
            (true, _) => "goal",
            (_, true) => "must",
            _ => "MISSED",
        }
    }
}

/// The rows as text.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut text = format!("{:<52} {:>9} {:>19} {:>7} {:>7}\n", "", "median", "range", "must", "goal");
    for row in rows {
        let Row { name, value, must, goal, range: [least, most], rates, .. } = row;
        let range = format!("{least:.2} to {most:.2}");
        let rates = rates.map_or(String::new(), |[ours, raw]| format!("   {ours:.0} /s of {raw:.0} /s"));
        writeln!(text, "{name:<52} {value:>9.2} {range:>19} {must:>7} {goal:>7}  {}{rates}", row.verdict())
            .expect("a string takes every byte");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_round_stands_for_all_and_is_judged() {
        let round = |share: f64, cost: f64| vec![Row::share("a", share, 100.0, 15.0, 30.0), Row::cost("b", cost, 3.0, 2.0)];
        let rows = Row::medians(vec![round(40.0, 1.0), round(10.0, 9.0), round(20.0, 4.0)]);
        assert_eq!((rows[0].value, rows[0].range, rows[0].verdict()), (20.0, [10.0, 40.0], "must"));
        assert_eq!((rows[1].value, rows[1].verdict()), (4.0, "MISSED"));
        assert!(text(&rows).contains("20 /s of 100 /s"));
    }
}
