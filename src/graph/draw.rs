//! The graph as text for Graphviz (DOT) and Mermaid. Names come from foreign telemetry and are escaped.

use super::{Edge, ServiceGraph};
use crate::telemetry::topology::{EdgeMode, NodeKind};

impl ServiceGraph {
    /// The graph in DOT, the language of Graphviz: nodes and edges in order, asynchronous edges dashed.
    pub fn to_dot(&self) -> String {
        self.to_dot_with(|_| String::new())
    }

    /// As [`ServiceGraph::to_dot`], with a label for each edge; an empty label is left out.
    pub fn to_dot_with(&self, label: impl Fn(&Edge) -> String) -> String {
        let mut text = String::from("digraph services {\n    rankdir=LR;\n    node [shape=box];\n");
        for node in &self.nodes {
            let shape = match node.kind {
                NodeKind::Service => "",
                NodeKind::Database => " [shape=cylinder]",
                NodeKind::Queue => " [shape=cds]",
                NodeKind::External => " [shape=box, style=dashed]",
            };
            text.push_str(&format!("    {}{shape};\n", dot_quoted(node.id.as_str())));
        }
        for edge in &self.edges {
            let mut attributes = Vec::new();
            if edge.mode == EdgeMode::Async {
                attributes.push("style=dashed".to_owned());
            }
            let label = label(edge);
            if !label.is_empty() {
                attributes.push(format!("label={}", dot_quoted(&label)));
            }
            let attributes =
                if attributes.is_empty() { String::new() } else { format!(" [{}]", attributes.join(", ")) };
            let (caller, callee) = (dot_quoted(edge.caller.as_str()), dot_quoted(edge.callee.as_str()));
            text.push_str(&format!("    {caller} -> {callee}{attributes};\n"));
        }
        text.push_str("}\n");
        text
    }

    /// The graph as a Mermaid flowchart: nodes and edges in order, asynchronous edges dotted.
    pub fn to_mermaid(&self) -> String {
        self.to_mermaid_with(|_| String::new())
    }

    /// As [`ServiceGraph::to_mermaid`], with a label for each edge; an empty label is left out.
    pub fn to_mermaid_with(&self, label: impl Fn(&Edge) -> String) -> String {
        let mut text = String::from("flowchart LR\n");
        for (number, node) in self.nodes.iter().enumerate() {
            let (open, close) = match node.kind {
                NodeKind::Service => ("[", "]"),
                NodeKind::Database => ("[(", ")]"),
                NodeKind::Queue => ("[[", "]]"),
                NodeKind::External => ("([", "])"),
            };
            text.push_str(&format!("    n{number}{open}\"{}\"{close}\n", mermaid_escaped(node.id.as_str())));
        }
        for (edge, (caller, callee)) in self.edges.iter().zip(self.ends()) {
            let arrow = match edge.mode {
                EdgeMode::Sync => "-->",
                EdgeMode::Async => "-.->",
            };
            let label = label(edge);
            let label = if label.is_empty() { label } else { format!("|\"{}\"|", mermaid_escaped(&label)) };
            text.push_str(&format!("    n{caller} {arrow}{label} n{callee}\n"));
        }
        text
    }

    /// Positions of each edge's caller and callee among the nodes.
    fn ends(&self) -> impl Iterator<Item = (usize, usize)> {
        // petgraph keeps edges in the order in which they were added: that of `edges`.
        self.links.raw_edges().iter().map(|link| (link.source().index(), link.target().index()))
    }
}

/// The word for a kind of node.
pub(super) fn word(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Service => "service",
        NodeKind::Database => "database",
        NodeKind::Queue => "queue",
        NodeKind::External => "external dependency",
    }
}

/// Characters that would break a line, drive a terminal or reverse the direction of text.
fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A quoted DOT string. Backslashes are doubled, since Graphviz replaces `\N`, `\G` and others in labels.
fn dot_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if is_unprintable(c) => quoted.push('\u{fffd}'),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Text for a quoted Mermaid label: what Mermaid or HTML would interpret becomes an entity code (`#` and a number).
fn mermaid_escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '"' | '#' | '<' | '>' | '&' | '`' | ';' | '\\' | '|' | '*' | '_' | '[' | ']' | '(' | ')' => {
                escaped.push_str(&format!("#{};", u32::from(c)));
            }
            c if is_unprintable(c) => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::calls::CallStats;
    use crate::telemetry::time::Grid;
    use crate::telemetry::topology::GivenEdge;

    fn graph() -> ServiceGraph {
        let edge = |caller: &str, callee: &str, callee_kind, mode| GivenEdge {
            caller: caller.into(),
            callee: callee.into(),
            callee_kind,
            mode,
        };
        let edges = [
            edge("web", "kafka/orders", NodeKind::Queue, EdgeMode::Async),
            edge("web", "evil\"]; x\n\\N<b>", NodeKind::External, EdgeMode::Sync),
            edge("web", "postgresql/orders", NodeKind::Database, EdgeMode::Sync),
        ];
        ServiceGraph::build(&CallStats::empty(Grid::new(1_000_000)), &edges).0
    }

    #[test]
    fn draws_dot() {
        let expected = r#"digraph services {
    rankdir=LR;
    node [shape=box];
    "evil\"]; x�\\N<b>" [shape=box, style=dashed];
    "kafka/orders" [shape=cds];
    "postgresql/orders" [shape=cylinder];
    "web";
    "web" -> "evil\"]; x�\\N<b>";
    "web" -> "kafka/orders" [style=dashed, label="5/s"];
    "web" -> "postgresql/orders";
}
"#;
        let label = |edge: &Edge| if edge.mode == EdgeMode::Async { "5/s".to_owned() } else { String::new() };
        assert_eq!(graph().to_dot_with(label), expected);
    }

    #[test]
    fn draws_mermaid() {
        let expected = r#"flowchart LR
    n0(["evil#34;#93;#59; x�#92;N#60;b#62;"])
    n1[["kafka/orders"]]
    n2[("postgresql/orders")]
    n3["web"]
    n3 --> n0
    n3 -.-> n1
    n3 --> n2
"#;
        assert_eq!(graph().to_mermaid(), expected);
    }
}
