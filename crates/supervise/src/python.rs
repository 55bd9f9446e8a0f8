//! What Python source does that matters here, read from its syntax: seeds, random numbers, paths, literals.

use std::collections::{BTreeMap, BTreeSet};

use tree_sitter::{Node, Parser, Tree};

use crate::source::{DENSE_WORD, dense};

/// Callables that start a generator from a seed.
const SEEDERS: [&str; 15] = [
    "default_rng",
    "seed",
    "manual_seed",
    "manual_seed_all",
    "set_seed",
    "Random",
    "RandomState",
    "SeedSequence",
    "PRNGKey",
    "PCG64",
    "PCG64DXSM",
    "MT19937",
    "Philox",
    "SFC64",
    "Generator",
];

/// Callables that draw random numbers, by the names they have in the libraries that are used.
const DRAWS: [&str; 26] = [
    "bernoulli",
    "binomial",
    "categorical",
    "choice",
    "choices",
    "dirichlet",
    "exponential",
    "gauss",
    "integers",
    "laplace",
    "multinomial",
    "multivariate_normal",
    "normal",
    "permutation",
    "permuted",
    "poisson",
    "rand",
    "randint",
    "randn",
    "random",
    "randperm",
    "randrange",
    "sample",
    "shuffle",
    "standard_normal",
    "uniform",
];

/// Callables whose arguments are paths.
const PATHS: [&str; 4] = ["join", "joinpath", "Path", "open"];

/// A string of fewer bytes is a name or a message.
const LONG_STRING: usize = 48;
/// A collection of fewer literals is a setting.
const LONG_LIST: usize = 17;
/// A number of fewer digits is a number.
const LONG_NUMBER: usize = 40;
/// Seeds taken modulo less than this are few enough to have been tried.
const FEW_SEEDS: u64 = 100_000;

/// What one file does.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Contents of string literals.
    pub(crate) strings: BTreeSet<String>,
    /// String literals that stand where a component of a path stands.
    pub(crate) components: BTreeSet<String>,
    /// Calls that start a generator, and whether their seed is written in the code.
    pub(crate) seedings: BTreeMap<String, Seed>,
    /// Expressions that make many seeds a few, or choose among some.
    pub(crate) chosen: BTreeSet<String>,
    /// Names that are given constants, and names that are given anything else.
    pub(crate) constants: BTreeSet<String>,
    pub(crate) variables: BTreeSet<String>,
    /// What is run together, by name: a function, a class with its special methods, or (without a name) the module.
    pub(crate) scopes: BTreeMap<String, Scope>,
    /// Bytes of data in literals and comments.
    pub(crate) data: u64,
}

/// A piece of code that is run when its name is.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// The names in it; those of modules end in `.py`.
    pub(crate) names: BTreeSet<String>,
    /// Whether it draws random numbers.
    pub(crate) draws: bool,
}

/// Where a generator's seed comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seed {
    /// It is written in the code, in terms of these names at most.
    Written(BTreeSet<String>),
    /// Elsewhere.
    Other,
}

/// The facts of `source`; none when it cannot be read.
pub(crate) fn facts(source: &str) -> Option<Facts> {
    let tree = parse(source)?;
    let mut facts = Facts::default();
    let mut reader = Reader { source, facts: &mut facts };
    let mut pending = vec![(tree.root_node(), String::new())];
    while let Some((node, scope)) = pending.pop() {
        reader.take(node);
        let scope = reader.scope(node, scope);
        pending.extend(node.children(&mut node.walk()).map(|child| (child, scope.clone())));
    }
    Some(facts)
}

fn parse(source: &str) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_python::LANGUAGE.into()).ok()?;
    parser.parse(source, None)
}

struct Reader<'a> {
    source: &'a str,
    facts: &'a mut Facts,
}

impl<'a> Reader<'a> {
    fn text(&self, node: Node<'_>) -> &'a str {
        self.source.get(node.byte_range()).unwrap_or_default()
    }

    fn take(&mut self, node: Node<'_>) {
        match node.kind() {
            "string" | "concatenated_string" => self.string(node),
            "comment" => self.facts.data += dense(self.text(node)),
            "integer" => {
                let digits = self.text(node).len();
                self.facts.data += if digits >= LONG_NUMBER { digits as u64 } else { 0 };
            }
            "list" | "tuple" | "set" | "dictionary" => self.collection(node),
            "call" => self.call(node),
            "binary_operator" => self.operator(node),
            "subscript" => self.subscript(node),
            "conditional_expression" => self.conditional(node),
            "assignment" | "augmented_assignment" => self.assignment(node),
            "parameters" | "lambda_parameters" | "for_statement" | "for_in_clause" => {
                self.bound(node);
            }
            _ => {}
        }
    }

    /// Books what `node` does in `scope`; gives the scope of what is in it.
    fn scope(&mut self, node: Node<'_>, scope: String) -> String {
        let name = node.child_by_field_name("name").map_or("", |name| self.text(name));
        match node.kind() {
            // A class's special methods are run without being named.
            "function_definition" if name.starts_with("__") => {
                return enclosing(node, self.source).unwrap_or(scope);
            }
            "function_definition" => return name.to_owned(),
            _ => {}
        }
        let mut draws = false;
        let mut named = Vec::new();
        match node.kind() {
            // To define a class is not to use it.
            "identifier"
                if node.parent().is_some_and(|parent| parent.kind() == "class_definition") => {}
            "identifier" if imports(node) => named.push(format!("{}.py", self.text(node))),
            "identifier" => named.push(self.text(node).to_owned()),
            "string" if node.byte_range().len() < LONG_STRING => {
                let content = self.content(node);
                named.extend([format!("{content}.py"), content]);
            }
            "call" => {
                let function = node.child_by_field_name("function");
                let function = function.map_or("", |function| self.text(function));
                draws = DRAWS.contains(&function.rsplit('.').next().unwrap_or_default().trim());
            }
            _ => {}
        }
        if draws || !named.is_empty() {
            let held = self.facts.scopes.entry(scope.clone()).or_default();
            held.draws |= draws;
            held.names.extend(named);
        }
        scope
    }

    fn string(&mut self, node: Node<'_>) {
        let inside = |kind| node.parent().is_some_and(|parent| parent.kind() == kind);
        if inside("concatenated_string") {
            return;
        }
        let content = self.content(node);
        self.facts.data += if inside("expression_statement") {
            dense(&content)
        } else if content.len() >= LONG_STRING {
            content.len() as u64
        } else {
            0
        };
        if content.len() <= 4 * DENSE_WORD {
            self.facts.strings.insert(content);
        }
    }

    /// What is between the quotes, of all parts.
    fn content(&self, node: Node<'_>) -> String {
        let mut content = String::new();
        let mut pending = vec![node];
        while let Some(node) = pending.pop() {
            if node.kind() == "string_content" {
                content.push_str(self.text(node));
                continue;
            }
            let children: Vec<_> = node.children(&mut node.walk()).collect();
            pending.extend(children.into_iter().rev());
        }
        content
    }

    /// Many literals in a row are data. Strings among them count for themselves when they are long.
    fn collection(&mut self, node: Node<'_>) {
        let nested =
            node.parent().is_some_and(|parent| matches!(parent.kind(), "list" | "tuple" | "set"));
        if nested {
            return;
        }
        let (mut literals, mut bytes) = (0, 0);
        let mut pending = vec![node];
        while let Some(node) = pending.pop() {
            let size = node.byte_range().len();
            match node.kind() {
                "integer" | "float" => (literals, bytes) = (literals + 1, bytes + size + 1),
                "string" if size < LONG_STRING => {
                    (literals, bytes) = (literals + 1, bytes + size + 1);
                }
                "list" | "tuple" | "set" | "dictionary" | "pair" | "unary_operator" => {
                    pending.extend(node.named_children(&mut node.walk()));
                }
                _ => {}
            }
        }
        self.facts.data += if literals >= LONG_LIST { bytes as u64 } else { 0 };
    }

    fn call(&mut self, node: Node<'_>) {
        let (Some(function), Some(arguments)) =
            (node.child_by_field_name("function"), node.child_by_field_name("arguments"))
        else {
            return;
        };
        let name = self.text(function).rsplit('.').next().unwrap_or_default().trim();
        if PATHS.contains(&name) {
            for argument in arguments.named_children(&mut arguments.walk()) {
                self.component(argument);
            }
        }
        if SEEDERS.contains(&name) && arguments.named_child_count() > 0 {
            let seed = self.written(arguments).map_or(Seed::Other, Seed::Written);
            self.facts.seedings.insert(plain(self.text(node)), seed);
        }
    }

    fn component(&mut self, node: Node<'_>) {
        if matches!(node.kind(), "string" | "concatenated_string") {
            let content = self.content(node);
            self.facts.components.insert(content);
        }
    }

    fn operator(&mut self, node: Node<'_>) {
        let (Some(left), Some(right)) =
            (node.child_by_field_name("left"), node.child_by_field_name("right"))
        else {
            return;
        };
        match node.child_by_field_name("operator").map_or("", |sign| self.text(sign)) {
            // A string is divided by nothing: it is the next component of a path.
            "/" => self.component(right),
            "%" | "&" => {
                let few =
                    self.text(right).replace('_', "").parse().is_ok_and(|n: u64| n < FEW_SEEDS);
                if few && self.of_seed(left) {
                    self.facts.chosen.insert(plain(self.text(node)));
                }
            }
            "//" | ">>" if self.of_seed(left) && self.written(right).is_some() => {
                self.facts.chosen.insert(plain(self.text(node)));
            }
            _ => {}
        }
    }

    /// An entry of a written list that the seed chooses.
    fn subscript(&mut self, node: Node<'_>) {
        let Some(value) = node.child_by_field_name("value") else { return };
        let list = matches!(value.kind(), "list" | "tuple" | "dictionary")
            || (value.kind() == "identifier"
                && self.text(value).to_uppercase() == self.text(value));
        let by_seed = node
            .children_by_field_name("subscript", &mut node.walk())
            .any(|index| self.of_seed(index));
        let of_environment = self.text(value).ends_with("environ");
        if list && by_seed && !of_environment {
            self.facts.chosen.insert(plain(self.text(node)));
        }
    }

    fn conditional(&mut self, node: Node<'_>) {
        let parts: Vec<_> = node.named_children(&mut node.walk()).collect();
        if let [yes, condition, no] = parts[..]
            && self.of_seed(condition)
            && [yes, no].iter().all(|part| self.written(*part).is_some())
        {
            self.facts.chosen.insert(plain(self.text(node)));
        }
    }

    fn of_seed(&self, node: Node<'_>) -> bool {
        let text = self.text(node).to_lowercase();
        text.contains("seed") && !text.contains("seedsequence")
    }

    fn assignment(&mut self, node: Node<'_>) {
        let Some(left) = node.child_by_field_name("left") else { return };
        let constant = node.kind() == "assignment"
            && left.kind() == "identifier"
            && node
                .child_by_field_name("right")
                .and_then(|right| self.written(right))
                .is_some_and(|names| names.is_empty());
        if constant {
            self.facts.constants.insert(self.text(left).to_owned());
        } else {
            self.names(left);
        }
    }

    /// Names that parameters and loops give values to.
    fn bound(&mut self, node: Node<'_>) {
        let target = if node.kind().starts_with("for") {
            node.child_by_field_name("left")
        } else {
            Some(node)
        };
        target.into_iter().for_each(|target| self.names(target));
    }

    fn names(&mut self, node: Node<'_>) {
        let mut pending = vec![node];
        while let Some(node) = pending.pop() {
            if node.kind() == "identifier" {
                self.facts.variables.insert(self.text(node).to_owned());
            }
            pending.extend(node.named_children(&mut node.walk()));
        }
    }

    /// The names in an expression that is otherwise made of literals and arithmetic; none when it is not.
    fn written(&self, node: Node<'_>) -> Option<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        let mut pending = vec![node];
        while let Some(node) = pending.pop() {
            match node.kind() {
                "integer" | "float" | "string" | "none" | "true" | "false" => {}
                "identifier" => drop(names.insert(self.text(node).to_owned())),
                "keyword_argument" => pending.extend(node.child_by_field_name("value")),
                "argument_list"
                | "list"
                | "tuple"
                | "parenthesized_expression"
                | "binary_operator"
                | "unary_operator" => {
                    pending.extend(node.named_children(&mut node.walk()));
                }
                _ => return None,
            }
        }
        Some(names)
    }
}

/// Whether a name is that of a module: a function may have the same.
fn imports(name: Node<'_>) -> bool {
    let Some(dotted) = name.parent().filter(|parent| parent.kind() == "dotted_name") else {
        return false;
    };
    dotted.parent().is_some_and(|around| match around.kind() {
        "import_statement" | "relative_import" => true,
        "aliased_import" => {
            around.parent().is_some_and(|parent| parent.kind() == "import_statement")
        }
        "import_from_statement" => around.child_by_field_name("module_name") == Some(dotted),
        _ => false,
    })
}

/// The name of the class around a method.
fn enclosing(method: Node<'_>, source: &str) -> Option<String> {
    let mut around = method.parent();
    while let Some(node) = around.filter(|node| node.kind() != "class_definition") {
        around = node.parent();
    }
    Some(source.get(around?.child_by_field_name("name")?.byte_range())?.to_owned())
}

/// Text without the white space that does not matter.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
