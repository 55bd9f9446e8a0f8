//! Python sources through tree-sitter: whether they parse, and what lies outside a named symbol.

use std::ops::Range;

use tree_sitter::{Node, Parser, Tree};

/// Lines, from 1, on which the parser found something that is not Python or misses something.
pub(crate) fn errors(source: &[u8]) -> Vec<usize> {
    let Some(tree) = parse(source) else { return Vec::new() };
    let mut lines = Vec::new();
    let mut pending = vec![tree.root_node()];
    while let Some(node) = pending.pop() {
        if node.is_error() || node.is_missing() {
            lines.push(node.start_position().row + 1);
        } else if node.has_error() {
            pending.extend(node.children(&mut node.walk()));
        }
    }
    lines.sort_unstable();
    lines
}

/// The lines of `source` that are left when every definition of `symbols` is taken out: `name` at the top level, or
/// `Class.name` within one. Blank lines and trailing blanks do not count.
///
/// Two versions of a file agree on this exactly when they differ in the symbols alone. Comparing what is left, rather
/// than which lines changed, also catches an edit inside a symbol that makes it swallow the code after it.
pub(crate) fn outside(source: &[u8], symbols: &[&str]) -> Vec<Vec<u8>> {
    let mut left = source.to_vec();
    if let Some(tree) = parse(source) {
        for span in symbols.iter().flat_map(|symbol| spans(tree.root_node(), source, symbol)) {
            left[span].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        }
    }
    left.split(|byte| *byte == b'\n')
        .map(|line| line.trim_ascii_end().to_vec())
        .filter(|line| !line.is_empty())
        .collect()
}

fn parse(source: &[u8]) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_python::LANGUAGE.into()).ok()?;
    parser.parse(source, None)
}

fn spans(scope: Node<'_>, source: &[u8], symbol: &str) -> Vec<Range<usize>> {
    let (name, rest) = match symbol.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (symbol, None),
    };
    let mut found = Vec::new();
    for statement in scope.named_children(&mut scope.walk()) {
        let Some((named, body)) = defined(statement) else { continue };
        if source.get(named.byte_range()) != Some(name.as_bytes()) {
            continue;
        }
        match rest {
            None => found.push(statement.byte_range()),
            Some(rest) => found.extend(body.into_iter().flat_map(|body| spans(body, source, rest))),
        }
    }
    found
}

/// The name that a statement defines, and its body where it has one.
fn defined<'t>(statement: Node<'t>) -> Option<(Node<'t>, Option<Node<'t>>)> {
    match statement.kind() {
        "decorated_definition" => defined(statement.child_by_field_name("definition")?),
        "class_definition" | "function_definition" => {
            Some((statement.child_by_field_name("name")?, statement.child_by_field_name("body")))
        }
        "expression_statement" => {
            let inner = statement.named_child(0)?;
            matches!(inner.kind(), "assignment" | "augmented_assignment")
                .then(|| inner.child_by_field_name("left"))
                .flatten()
                .map(|left| (left, None))
        }
        _ => None,
    }
}
