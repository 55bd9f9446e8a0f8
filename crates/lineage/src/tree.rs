//! Trees: reading them, comparing them, and rewriting only what changed.

use std::{
    collections::{BTreeMap, btree_map},
    fmt,
    sync::Arc,
};

use empiric_core::TreeId;
use gix::{ObjectId, bstr::BString, objs::tree::EntryKind};

use crate::{
    Error, PathFault, Result, Store,
    store::{blob, object_id, sha1},
};

/// The files of a tree and their content; symbolic links are left out.
pub type Files = BTreeMap<String, Arc<[u8]>>;

/// The git id of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub [u8; 20]);

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a path in a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A plain file.
    Plain,
    /// A file that may be executed.
    Executable,
    /// A symbolic link; its content is the target.
    Symlink,
    /// A commit of another repository.
    Submodule,
}

impl Mode {
    /// Whether it is a file with content of its own.
    #[must_use]
    pub fn is_file(self) -> bool {
        matches!(self, Self::Plain | Self::Executable)
    }

    /// As git writes it: `100644`, `100755`, `120000` or `160000`.
    #[must_use]
    pub fn octal(self) -> &'static str {
        match self {
            Self::Plain => "100644",
            Self::Executable => "100755",
            Self::Symlink => "120000",
            Self::Submodule => "160000",
        }
    }

    fn kind(self) -> EntryKind {
        match self {
            Self::Plain => EntryKind::Blob,
            Self::Executable => EntryKind::BlobExecutable,
            Self::Symlink => EntryKind::Link,
            Self::Submodule => EntryKind::Commit,
        }
    }

    fn of(kind: EntryKind) -> Option<Self> {
        match kind {
            EntryKind::Tree => None,
            EntryKind::Blob => Some(Self::Plain),
            EntryKind::BlobExecutable => Some(Self::Executable),
            EntryKind::Link => Some(Self::Symlink),
            EntryKind::Commit => Some(Self::Submodule),
        }
    }
}

/// One path of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path within the recipe.
    pub path: String,
    /// What it is.
    pub mode: Mode,
    /// Its content's id.
    pub id: FileId,
    /// Bytes.
    pub size: u64,
}

/// A file in a tree: mode and content id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) mode: Mode,
    pub(crate) id: ObjectId,
}

/// One entry of one tree object. A tree has no mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: BString,
    pub(crate) mode: Option<Mode>,
    pub(crate) id: ObjectId,
}

impl Node {
    pub(crate) fn leaf(&self) -> Option<Leaf> {
        self.mode.map(|mode| Leaf { mode, id: self.id })
    }

    pub(crate) fn subtree(&self) -> Option<ObjectId> {
        self.mode.is_none().then_some(self.id)
    }

    fn path(&self, prefix: &str) -> Result<String> {
        let name = std::str::from_utf8(&self.name)
            .map_err(|_| Error::path(format!("{prefix}{}", self.name), PathFault::NotUtf8))?;
        Ok(format!("{prefix}{name}"))
    }
}

impl Store {
    /// Every path of a tree, in order.
    ///
    /// # Errors
    /// When an object is missing or damaged.
    pub fn list(&self, tree: TreeId) -> Result<Vec<Entry>> {
        let repo = self.repo();
        leaves(&repo, object_id(tree))?
            .into_iter()
            .map(|(path, leaf)| {
                let size = if leaf.mode == Mode::Submodule { 0 } else { size(&repo, leaf.id)? };
                Ok(Entry { path, mode: leaf.mode, id: FileId(sha1(&leaf.id)?), size })
            })
            .collect()
    }

    /// All files of a tree with their content.
    ///
    /// # Errors
    /// When an object is missing or damaged.
    pub fn files(&self, tree: TreeId) -> Result<Files> {
        let repo = self.repo();
        leaves(&repo, object_id(tree))?
            .into_iter()
            .filter(|(_, leaf)| leaf.mode.is_file())
            .map(|(path, leaf)| Ok((path, blob(&repo, leaf.id)?.into())))
            .collect()
    }

    /// The content of one file of a tree; none when there is no such file.
    ///
    /// # Errors
    /// When an object is missing or damaged.
    pub fn read(&self, tree: TreeId, path: &str) -> Result<Option<Vec<u8>>> {
        let repo = self.repo();
        match find(&repo, object_id(tree), path)? {
            Some(leaf) if leaf.mode.is_file() => blob(&repo, leaf.id).map(Some),
            Some(_) | None => Ok(None),
        }
    }
}

/// Bytes of a blob, without reading all of it.
pub(crate) fn size(repo: &gix::Repository, id: ObjectId) -> Result<u64> {
    Ok(repo.find_header(id).map_err(Error::git(format_args!("read blob {id}")))?.size())
}

/// The entries of one tree object, in git's order.
pub(crate) fn nodes(repo: &gix::Repository, id: ObjectId) -> Result<Vec<Node>> {
    let tree = repo.find_tree(id).map_err(Error::git(format_args!("read tree {id}")))?;
    let tree = tree.decode().map_err(Error::git(format_args!("decode tree {id}")))?;
    Ok(tree
        .entries
        .iter()
        .map(|entry| Node {
            name: entry.filename.to_owned(),
            mode: Mode::of(entry.mode.kind()),
            id: entry.oid.to_owned(),
        })
        .collect())
}

/// The entries of a tree that may be absent, by name.
pub(crate) fn by_name(
    repo: &gix::Repository,
    id: Option<ObjectId>,
) -> Result<BTreeMap<BString, Node>> {
    let nodes = id.map(|id| nodes(repo, id)).transpose()?.unwrap_or_default();
    Ok(nodes.into_iter().map(|node| (node.name.clone(), node)).collect())
}

/// The file at `path`.
pub(crate) fn find(repo: &gix::Repository, root: ObjectId, path: &str) -> Result<Option<Leaf>> {
    let mut tree = root;
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        let Some(node) = nodes(repo, tree)?.into_iter().find(|node| node.name == name) else {
            return Ok(None);
        };
        match (names.peek(), node.mode) {
            (None, _) => return Ok(node.leaf()),
            (Some(_), None) => tree = node.id,
            (Some(_), Some(_)) => return Ok(None),
        }
    }
    Ok(None)
}

/// Every file of a tree, by path.
pub(crate) fn leaves(repo: &gix::Repository, root: ObjectId) -> Result<BTreeMap<String, Leaf>> {
    let changes = changes(repo, None, Some(root))?;
    Ok(changes.into_iter().filter_map(|(path, change)| Some((path, change.new?))).collect())
}

/// What happened to one path between two trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Change {
    pub(crate) old: Option<Leaf>,
    pub(crate) new: Option<Leaf>,
}

/// Every path that differs between two trees; equal subtrees are never read.
pub(crate) fn changes(
    repo: &gix::Repository,
    old: Option<ObjectId>,
    new: Option<ObjectId>,
) -> Result<BTreeMap<String, Change>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![(String::new(), old, new)];
    while let Some((prefix, old, new)) = pending.pop() {
        if old == new {
            continue;
        }
        let mut pairs: BTreeMap<BString, (Option<Node>, Option<Node>)> = BTreeMap::new();
        for (name, node) in by_name(repo, old)? {
            pairs.entry(name).or_default().0 = Some(node);
        }
        for (name, node) in by_name(repo, new)? {
            pairs.entry(name).or_default().1 = Some(node);
        }
        for (old, new) in pairs.into_values().filter(|(old, new)| old != new) {
            let Some(either) = new.as_ref().or(old.as_ref()) else { continue };
            let path = either.path(&prefix)?;
            let change = Change {
                old: old.as_ref().and_then(Node::leaf),
                new: new.as_ref().and_then(Node::leaf),
            };
            let (old, new) =
                (old.and_then(|node| node.subtree()), new.and_then(|node| node.subtree()));
            if old.is_some() || new.is_some() {
                pending.push((format!("{path}/"), old, new));
            }
            if change != Change::default() {
                found.insert(path, change);
            }
        }
    }
    Ok(found)
}

/// What to do at one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// Take the file away.
    Delete,
    /// Put this content there, under the mode the file has, or plain.
    Content(ObjectId),
    /// Put this file there.
    Leaf(Leaf),
}

/// Writes the tree that `base` becomes by `puts`; untouched subtrees are not read.
pub(crate) fn rewrite(
    repo: &gix::Repository,
    base: Option<ObjectId>,
    puts: &BTreeMap<String, Put>,
) -> Result<ObjectId> {
    let puts: Vec<(&str, &str, Put)> =
        puts.iter().map(|(path, put)| (path.as_str(), path.as_str(), *put)).collect();
    match rewrite_level(repo, base, &puts)? {
        Some(id) => Ok(id),
        None => write_tree(repo, BTreeMap::new()),
    }
}

/// Puts are (whole path, path from here, what); the result is none when the tree ends up empty.
fn rewrite_level(
    repo: &gix::Repository,
    base: Option<ObjectId>,
    puts: &[(&str, &str, Put)],
) -> Result<Option<ObjectId>> {
    let mut nodes = by_name(repo, base)?;
    let mut here = Vec::new();
    let mut below: BTreeMap<&str, Vec<(&str, &str, Put)>> = BTreeMap::new();
    for &(whole, path, put) in puts {
        match path.split_once('/') {
            Some((name, rest)) => below.entry(name).or_default().push((whole, rest, put)),
            None => here.push((whole, path, put)),
        }
    }
    // Deletions first: a file may give way to a directory, and a directory to a file, within one edit.
    for &(whole, name, _) in here.iter().filter(|(.., put)| *put == Put::Delete) {
        match nodes.remove(name.as_bytes()) {
            Some(node) if node.mode.is_some() => {}
            Some(_) => return Err(Error::path(whole, PathFault::IsDirectory)),
            None => return Err(Error::path(whole, PathFault::Missing)),
        }
    }
    for (name, puts) in below {
        let entry = nodes.entry(name.into());
        let subtree = match &entry {
            btree_map::Entry::Occupied(node) => {
                let whole = puts.first().map_or(name, |(whole, ..)| whole);
                let node = node.get();
                Some(node.subtree().ok_or_else(|| Error::path(whole, PathFault::BelowFile))?)
            }
            btree_map::Entry::Vacant(_) => None,
        };
        match rewrite_level(repo, subtree, &puts)? {
            Some(id) => {
                entry.insert_entry(Node { name: name.into(), mode: None, id });
            }
            None => {
                nodes.remove(name.as_bytes());
            }
        }
    }
    for (whole, name, put) in here {
        let old = nodes.get(name.as_bytes());
        let leaf = match put {
            Put::Delete => continue,
            Put::Content(id) => {
                let mode = old.and_then(|node| node.mode).filter(|mode| mode.is_file());
                Leaf { mode: mode.unwrap_or(Mode::Plain), id }
            }
            Put::Leaf(leaf) => leaf,
        };
        if old.is_some_and(|node| node.mode.is_none()) {
            return Err(Error::path(whole, PathFault::IsDirectory));
        }
        let node = Node { name: name.into(), mode: Some(leaf.mode), id: leaf.id };
        nodes.insert(name.into(), node);
    }
    if nodes.is_empty() { Ok(None) } else { write_tree(repo, nodes).map(Some) }
}

fn write_tree(repo: &gix::Repository, nodes: BTreeMap<BString, Node>) -> Result<ObjectId> {
    let mut entries: Vec<_> = nodes
        .into_values()
        .map(|node| gix::objs::tree::Entry {
            mode: node.mode.map_or(EntryKind::Tree, Mode::kind).into(),
            filename: node.name,
            oid: node.id,
        })
        .collect();
    entries.sort();
    let tree = gix::objs::Tree { entries };
    Ok(repo.write_object(tree).map_err(Error::git("write a tree"))?.detach())
}
