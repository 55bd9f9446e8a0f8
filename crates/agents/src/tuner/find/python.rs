//! Python: literals and cut sites by syntax tree.

use std::collections::{BTreeMap, BTreeSet};

use tree_sitter::{Node, Parser, Tree};

use super::{Cut, Found};
use crate::tuner::knob::{Knob, Spelling, Value, off_limits, parse_number};

/// Deepest nesting walked; deeper code is left alone.
const DEEPEST: usize = 120;
/// Longest tuple or list whose elements are knobs; longer ones are data.
const ELEMENTS: usize = 6;
/// Calls whose arguments are never knobs, and that no cut removes.
const CALLS: [&str; 28] = [
    "print",
    "open",
    "range",
    "isinstance",
    "getattr",
    "setattr",
    "save",
    "savez",
    "dump",
    "dumps",
    "write",
    "flush",
    "close",
    "append",
    "exit",
    "makedirs",
    "mkdir",
    "load",
    "loads",
    "seed",
    "manual_seed",
    "default_rng",
    "info",
    "warning",
    "compile",
    "join",
    "allclose",
    "put_along_axis",
];
/// Calls that training cannot do without.
const NEEDED: [&str; 11] =
    ["main", "step", "backward", "update", "push", "take", "fit", "train", "visit", "add", "at"];

/// The tree of a file without syntax errors.
pub(super) fn parse(text: &str) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_python::LANGUAGE.into()).ok()?;
    parser.parse(text, None).filter(|tree| !tree.root_node().has_error())
}

/// Knobs, cuts and compared words of a file.
pub(super) fn find(path: &str, text: &str) -> Found {
    let Some(tree) = parse(text) else { return Found::default() };
    let mut walk = Walk {
        path,
        text,
        found: Found::default(),
        keys: BTreeMap::new(),
        looked_up: Vec::new(),
        cuts_seen: BTreeMap::new(),
    };
    walk.node(tree.root_node(), &Place::default());
    for (name, table) in std::mem::take(&mut walk.looked_up) {
        if let Some(keys) = walk.keys.get(&table) {
            walk.found.words.entry(name).or_default().extend(keys.iter().cloned());
        }
    }
    walk.found
}

/// Where in the symbol tree a node lies.
#[derive(Debug, Clone, Default)]
struct Place {
    /// Enclosing classes and functions, then the assigned name or the called function.
    scope: Vec<String>,
    function: bool,
    depth: usize,
}

impl Place {
    fn inside(&self, name: &str) -> Self {
        let mut inner = self.clone();
        inner.scope.push(name.to_owned());
        inner
    }

    fn deeper(&self) -> Self {
        Self { depth: self.depth + 1, ..self.clone() }
    }
}

struct Walk<'a> {
    path: &'a str,
    text: &'a str,
    found: Found,
    /// Keys of dictionaries by the name they are assigned to.
    keys: BTreeMap<String, BTreeSet<String>>,
    /// Names used as a key, with the dictionary's name.
    looked_up: Vec<(String, String)>,
    cuts_seen: BTreeMap<String, u32>,
}

impl<'a> Walk<'a> {
    fn source(&self, node: Node<'_>) -> &'a str {
        self.text.get(node.byte_range()).unwrap_or("")
    }

    fn children(&mut self, node: Node<'_>, place: &Place) {
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            self.node(child, place);
        }
    }

    fn node(&mut self, node: Node<'_>, place: &Place) {
        if place.depth > DEEPEST {
            return;
        }
        let place = &place.deeper();
        match node.kind() {
            "assert_statement"
            | "raise_statement"
            | "import_statement"
            | "import_from_statement"
            | "decorator"
            | "string"
            | "concatenated_string"
            | "comment"
            | "type" => {}
            "function_definition" | "class_definition" => {
                let name = node.child_by_field_name("name").map_or("", |name| self.source(name));
                let mut inner = place.inside(name);
                inner.function = node.kind() == "function_definition" || place.function;
                self.children(node, &inner);
            }
            "assignment" => self.assignment(node, place),
            "default_parameter" | "typed_default_parameter" => {
                if let (Some(name), Some(value)) =
                    (node.child_by_field_name("name"), node.child_by_field_name("value"))
                {
                    self.literals(self.source(name), value, place, 1);
                }
            }
            "keyword_argument" => {
                if let (Some(name), Some(value)) =
                    (node.child_by_field_name("name"), node.child_by_field_name("value"))
                {
                    let tier = if place.function { 2 } else { 0 };
                    self.literals(self.source(name), value, place, tier);
                    self.node(value, place);
                }
            }
            "pair" => {
                if let (Some(key), Some(value)) =
                    (node.child_by_field_name("key"), node.child_by_field_name("value"))
                {
                    let tier = if place.function { 2 } else { 0 };
                    if let Some(key) = self.plain_string(key) {
                        self.literals(&key, value, place, tier);
                        self.node(value, &place.inside(&key));
                    } else {
                        self.node(value, place);
                    }
                }
            }
            "call" => self.call(node, place),
            "comparison_operator" => {
                self.comparison(node);
                self.children(node, place);
            }
            "match_statement" => {
                self.matching(node);
                self.children(node, place);
            }
            "subscript" => {
                self.subscript(node);
                if let Some(value) = node.child_by_field_name("value") {
                    self.node(value, place);
                }
            }
            _ => {
                self.cut(node, place);
                self.children(node, place);
            }
        }
    }

    fn assignment(&mut self, node: Node<'_>, place: &Place) {
        let (Some(left), Some(right)) =
            (node.child_by_field_name("left"), node.child_by_field_name("right"))
        else {
            return;
        };
        if let Some(name) = self.assigned(left) {
            if right.kind() == "dictionary" {
                let keys = self.dictionary_keys(right);
                self.keys.entry(name.clone()).or_default().extend(keys);
            }
            // What starts at 0 or 1, on or off inside a function is a counter or a flag, not a setting.
            let counter = place.function
                && (matches!(
                    self.source(right),
                    "0" | "1" | "-1" | "0.0" | "1.0" | "True" | "False"
                ) || right.kind() == "string");
            if !counter {
                let tier = if place.function { 2 } else { 0 };
                self.literals(&name, right, place, tier);
            }
            self.node(right, &place.inside(&name));
        } else {
            self.node(right, place);
        }
    }

    /// The name that an assignment sets: a variable, an attribute, or a string key of anything but the environment.
    fn assigned(&self, left: Node<'_>) -> Option<String> {
        match left.kind() {
            "identifier" => Some(self.source(left).to_owned()),
            "attribute" => Some(self.source(left.child_by_field_name("attribute")?).to_owned()),
            "subscript" => {
                let table = left.child_by_field_name("value")?;
                let key = self.plain_string(left.child_by_field_name("subscript")?)?;
                (!self.source(table).ends_with("environ")).then_some(key)
            }
            _ => None,
        }
    }

    fn call(&mut self, node: Node<'_>, place: &Place) {
        let (Some(function), Some(arguments)) =
            (node.child_by_field_name("function"), node.child_by_field_name("arguments"))
        else {
            return;
        };
        let callee = self.source(function).rsplit('.').next().unwrap_or("").to_owned();
        if callee == "add_argument" {
            self.option(arguments, place);
        } else if callee == "get"
            && let Some(table) = function.child_by_field_name("object")
            && let Some(name) = arguments.named_child(0).and_then(|key| self.last_name(key))
        {
            self.looked_up.push((name, self.source(table).to_owned()));
        } else if !CALLS.contains(&callee.as_str()) {
            self.node(function, place);
            self.children(arguments, &place.inside(&format!("{callee}()")));
        }
    }

    /// `parser.add_argument("--rate", default=0.1, choices=[...])`.
    fn option(&mut self, arguments: Node<'_>, place: &Place) {
        let mut cursor = arguments.walk();
        let arguments: Vec<Node<'_>> = arguments.named_children(&mut cursor).collect();
        let Some(name) = arguments
            .iter()
            .filter_map(|argument| self.plain_string(*argument))
            .filter(|text| text.starts_with("--"))
            .map(|text| text.trim_start_matches('-').replace('-', "_"))
            .next()
        else {
            return;
        };
        for argument in arguments.iter().filter(|argument| argument.kind() == "keyword_argument") {
            let (Some(key), Some(value)) =
                (argument.child_by_field_name("name"), argument.child_by_field_name("value"))
            else {
                continue;
            };
            match self.source(key) {
                "default" => self.literals(&name, value, place, 0),
                "choices" => {
                    let words = self.strings_in(value);
                    self.found.words.entry(name.clone()).or_default().extend(words);
                }
                _ => {}
            }
        }
    }

    /// Adds the literal `node`, or the elements of a short tuple or list of literals, as knobs called `name`.
    fn literals(&mut self, name: &str, node: Node<'_>, place: &Place, tier: u8) {
        if off_limits(name, tier) {
            return;
        }
        if matches!(node.kind(), "tuple" | "list") {
            let mut cursor = node.walk();
            let elements: Vec<Node<'_>> = node.named_children(&mut cursor).collect();
            if elements.len() <= ELEMENTS && elements.iter().all(|e| self.number(*e).is_some()) {
                for (i, element) in elements.into_iter().enumerate() {
                    self.literal(name, &format!("[{i}]"), element, place, tier);
                }
            }
        } else {
            self.literal(name, "", node, place, tier);
        }
    }

    fn literal(&mut self, name: &str, suffix: &str, node: Node<'_>, place: &Place, tier: u8) {
        let (value, span) = match node.kind() {
            "true" | "false" => (Value::Bool(node.kind() == "true"), node.byte_range()),
            "string" => match self.plain_string(node) {
                Some(text) if is_word(&text) => {
                    let span = node.byte_range();
                    let source = self.source(node);
                    let quote = source.find(['"', '\'']).unwrap_or(0);
                    let triple = source.len() - quote >= 6
                        && (source.ends_with("\"\"\"") || source.ends_with("'''"));
                    if triple || quote > 0 {
                        return;
                    }
                    (Value::Text(text), span.start + 1..span.end - 1)
                }
                _ => return,
            },
            _ => match self.number(node) {
                Some(value) => (value, node.byte_range()),
                None => return,
            },
        };
        let mut symbol = place.scope.join(".");
        if !symbol.is_empty() {
            symbol.push('.');
        }
        self.found.knobs.push(Knob {
            id: format!("{}:{symbol}{name}{suffix}", self.path),
            name: name.to_owned(),
            file: self.path.to_owned(),
            span,
            value,
            spelling: Spelling::Python,
            tier,
            choices: Vec::new(),
        });
    }

    fn number(&self, node: Node<'_>) -> Option<Value> {
        match node.kind() {
            "integer" | "float" => parse_number(self.source(node)),
            "unary_operator" => {
                let argument = node.child_by_field_name("argument")?;
                let text = self.source(node);
                (matches!(argument.kind(), "integer" | "float") && text.starts_with('-'))
                    .then(|| parse_number(text))
                    .flatten()
            }
            _ => None,
        }
    }

    /// Content of a string without prefix, interpolation, escapes or implicit joins.
    fn plain_string(&self, node: Node<'_>) -> Option<String> {
        let source = self.source(node);
        if node.kind() != "string" || !source.starts_with(['"', '\'']) || source.contains('\\') {
            return None;
        }
        Some(source.trim_matches(['"', '\'']).to_owned())
    }

    fn strings_in(&self, node: Node<'_>) -> BTreeSet<String> {
        if let Some(text) = self.plain_string(node) {
            return BTreeSet::from([text]);
        }
        let mut cursor = node.walk();
        if matches!(node.kind(), "tuple" | "list" | "set" | "parenthesized_expression") {
            node.named_children(&mut cursor).filter_map(|child| self.plain_string(child)).collect()
        } else {
            BTreeSet::new()
        }
    }

    fn dictionary_keys(&self, node: Node<'_>) -> BTreeSet<String> {
        let mut cursor = node.walk();
        node.named_children(&mut cursor)
            .filter_map(|pair| self.plain_string(pair.child_by_field_name("key")?))
            .collect()
    }

    /// The setting that an expression reads: `NAME`, `options.name`, `config["name"]`.
    fn last_name(&self, node: Node<'_>) -> Option<String> {
        match node.kind() {
            "identifier" => Some(self.source(node).to_owned()),
            "attribute" => Some(self.source(node.child_by_field_name("attribute")?).to_owned()),
            "subscript" => self.plain_string(node.child_by_field_name("subscript")?),
            _ => None,
        }
    }

    fn comparison(&mut self, node: Node<'_>) {
        let mut cursor = node.walk();
        let sides: Vec<Node<'_>> = node.named_children(&mut cursor).collect();
        let words: BTreeSet<String> =
            sides.iter().flat_map(|side| self.strings_in(*side)).collect();
        if words.is_empty() {
            return;
        }
        let names: Vec<String> = sides.iter().filter_map(|side| self.last_name(*side)).collect();
        for name in names {
            self.found.words.entry(name).or_default().extend(words.iter().cloned());
        }
    }

    fn matching(&mut self, node: Node<'_>) {
        let Some(name) =
            node.child_by_field_name("subject").and_then(|subject| self.last_name(subject))
        else {
            return;
        };
        let mut words = BTreeSet::new();
        let Some(body) = node.child_by_field_name("body") else { return };
        let mut cursor = body.walk();
        for clause in body.named_children(&mut cursor) {
            let mut inner = clause.walk();
            for pattern in clause.named_children(&mut inner) {
                if pattern.kind() == "case_pattern"
                    && let Some(text) =
                        pattern.named_child(0).and_then(|pattern| self.plain_string(pattern))
                {
                    words.insert(text);
                }
            }
        }
        self.found.words.entry(name).or_default().extend(words);
    }

    fn subscript(&mut self, node: Node<'_>) {
        let (Some(table), Some(key)) =
            (node.child_by_field_name("value"), node.child_by_field_name("subscript"))
        else {
            return;
        };
        let Some(name) = self.last_name(key) else { return };
        if table.kind() == "dictionary" {
            let keys = self.dictionary_keys(table);
            self.found.words.entry(name).or_default().extend(keys);
        } else if let Some(table) = self.last_name(table) {
            self.looked_up.push((name, table));
        }
    }

    /// Statements inside functions that can go: bare calls, updates in place, reassignments from the old value, and
    /// `if` blocks without an alternative.
    fn cut(&mut self, node: Node<'_>, place: &Place) {
        let Some(block) = node.parent().filter(|parent| parent.kind() == "block") else { return };
        if !place.function || !self.removable(node) {
            return;
        }
        let code: String = self
            .source(node)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .take(80)
            .collect();
        let base = format!("{}:{}: {code}", self.path, place.scope.join("."));
        let count = self.cuts_seen.entry(base.clone()).or_default();
        *count += 1;
        let id = if *count > 1 { format!("{base}~{count}") } else { base };
        let alone = block.named_child_count() == 1;
        let last_of_line = self.text[node.end_byte()..].lines().next().unwrap_or("");
        let starts_line = self.text[..node.start_byte()].rsplit('\n').next().unwrap_or("");
        let whole_lines = starts_line.trim().is_empty()
            && (last_of_line.trim().is_empty() || last_of_line.trim().starts_with('#'));
        let (span, with) = if alone || !whole_lines {
            (node.byte_range(), "pass")
        } else {
            let start = node.start_byte() - starts_line.len();
            let end = (node.end_byte() + last_of_line.len() + 1).min(self.text.len());
            (start..end, "")
        };
        self.found.cuts.push(Cut {
            id,
            file: self.path.to_owned(),
            span,
            with: with.to_owned(),
            code,
        });
    }

    fn removable(&self, node: Node<'_>) -> bool {
        match node.kind() {
            "if_statement" => {
                let condition = node
                    .child_by_field_name("condition")
                    .map_or("", |condition| self.source(condition));
                node.child_by_field_name("alternative").is_none()
                    && !["smoke", " is ", " in ", "__name__", "isinstance", "not "]
                        .iter()
                        .any(|word| condition.contains(word))
                    && !self.source(node).contains("return")
                    && !self.source(node).contains("break")
            }
            "expression_statement" => {
                let Some(inner) = node.named_child(0) else { return false };
                match inner.kind() {
                    "call" => inner.child_by_field_name("function").is_some_and(|function| {
                        let callee = self.source(function).rsplit('.').next().unwrap_or("");
                        !CALLS.contains(&callee) && !NEEDED.contains(&callee)
                    }),
                    "augmented_assignment" => inner
                        .child_by_field_name("right")
                        .is_some_and(|right| !matches!(right.kind(), "integer" | "float")),
                    "assignment" => self.reassigns(inner),
                    _ => false,
                }
            }
            _ => false,
        }
    }

    /// `x = f(x, ...)`: without it `x` still exists.
    fn reassigns(&self, assignment: Node<'_>) -> bool {
        let (Some(left), Some(right)) =
            (assignment.child_by_field_name("left"), assignment.child_by_field_name("right"))
        else {
            return false;
        };
        left.kind() == "identifier" && self.mentions(right, self.source(left), 0)
    }

    /// Whether the code below `node` reads the variable `name`.
    fn mentions(&self, node: Node<'_>, name: &str, depth: usize) -> bool {
        if node.kind() == "identifier" {
            return self.source(node) == name;
        }
        let mut cursor = node.walk();
        depth < DEEPEST
            && node
                .named_children(&mut cursor)
                .filter(|child| {
                    child.kind() != "string"
                        && node.child_by_field_name("attribute") != Some(*child)
                })
                .any(|child| self.mentions(child, name, depth + 1))
    }
}

/// Words that can be one of several settings; neither prose, nor paths, nor formats, nor patterns.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 40
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.+".contains(c))
        && text.contains(|c: char| c.is_ascii_alphabetic())
}
