//! What the quest asks to paste: enum, transition table, struct, in one short text.

use crate::diagram::label;
use crate::model::Model;
use conn_core::state::Row;

/// The most characters that a proof may have.
pub const LIMIT: usize = 5_000;

/// The proof.
#[must_use]
pub fn proof(model: &Model) -> String {
    let mut out = "enum ConnState {\n".to_owned();
    for state in &model.states {
        out += &format!("  {:15} // {}\n", format!("{state},"), state.meaning());
    }
    out += "}\n\nTRANSITIONS, by state: event [guard] → next: action\n";
    let mut from = String::new();
    for group in groups(&model.table) {
        let row = group[0];
        if model.from_name(row) != from {
            from = model.from_name(row);
            out += &format!("{from}\n");
        }
        let labels: Vec<String> = group.iter().map(|row| label(row)).collect();
        out += &format!("  {} → {}: {}\n", labels.join(" | "), row.to, row.action);
    }
    out += &format!(
        "Every other case is impossible for one of {} stated reasons.\n\nstruct Connection<S> {{\n",
        model.impossible.len()
    );
    for field in &model.connection.fields {
        out += &format!("  {}: {}, // {}\n", field.name, field.ty, field.summary());
    }
    out += "}\n";
    for method in &model.connection.computed {
        out += &format!("fn {}() -> {} // {}\n", method.name, method.ty, method.summary());
    }
    out
}

/// Rows that differ only in event and guard, together.
fn groups(table: &[Row]) -> Vec<Vec<&Row>> {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in table {
        let same = |group: &&mut Vec<&Row>| {
            (group[0].from, group[0].to, group[0].action) == (row.from, row.to, row.action)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_has_everything_and_fits() {
        let model = Model::current().unwrap();
        let proof = proof(&model);
        assert!(proof.chars().count() <= LIMIT, "{} characters", proof.chars().count());
        for state in &model.states {
            let line = format!("  {:15} // {}\n", format!("{state},"), state.meaning());
            assert!(proof.contains(&line), "{line}");
        }
        for row in &model.table {
            let heading = format!("\n{}\n", model.from_name(row));
            let below = proof.split(&heading).skip(1).any(|below| {
                let lines = below.lines().take_while(|line| line.starts_with("  "));
                let end = format!(" → {}: {}", row.to, row.action);
                lines.into_iter().any(|line| line.ends_with(&end) && line.contains(&label(row)))
            });
            assert!(below, "{row:?}");
        }
        for field in &model.connection.fields {
            assert!(proof.contains(&format!("  {}: {},", field.name, field.ty)), "{}", field.name);
        }
    }
}
