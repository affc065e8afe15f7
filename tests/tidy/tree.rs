//! The files of this repository that people write.

use std::fs;
use std::path::Path;

/// A file: its path from the top, with slashes, and its text.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    /// Has one of these extensions.
    pub(super) fn is(&self, extensions: &[&str]) -> bool {
        let extension = self.path.rsplit_once('.').map_or("", |(_, extension)| extension);
        extensions.contains(&extension)
    }

    /// Lies in this folder or below, or is it.
    pub(super) fn is_in(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The code of each line with its number from 1: without comments, and strings emptied.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, String)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, code_of(line)))
    }
}

/// All of them, in the order of their paths.
pub(super) fn files() -> Vec<File> {
    let mut files = Vec::new();
    collect(Path::new(env!("CARGO_MANIFEST_DIR")), "", &mut files);
    files.sort_by(|left, right| left.path.cmp(&right.path));
    files
}

fn collect(folder: &Path, below: &str, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() && !BUILT.contains(&name.as_str()) {
            collect(&entry.path(), &path, files);
        } else if kind.is_file() && (WRITTEN.iter().any(|end| name.ends_with(end))) {
            files.push(File { path, text: fs::read_to_string(entry.path()).expect("text") });
        }
    }
}

/// Rust files that nothing makes part of a crate.
pub(super) fn orphans(files: &[File]) -> Vec<&str> {
    let manifests: String = files.iter().filter(|file| file.is(&["toml"])).map(|file| file.text.as_str()).collect();
    let is_root = |name: &str| {
        let in_manifest = [format!("\"{name}\""), format!("/{name}\"")].iter().any(|named| manifests.contains(named));
        ["lib.rs", "main.rs"].contains(&name) || in_manifest
    };
    // Cargo finds these by itself.
    let is_found = |folder: &str| {
        let (crate_folder, inside) = split(folder);
        let manifest = format!("{crate_folder}/Cargo.toml");
        ["tests", "examples"].contains(&inside) && files.iter().any(|file| file.path == manifest)
    };
    let is_part = |path: &str| {
        let (folder, name) = split(path);
        let elsewhere = format!("#[path = \"{name}\"]");
        let is_beside = |file: &&File| split(&file.path).0 == folder;
        if is_found(folder) || files.iter().filter(is_beside).any(|file| file.text.contains(&elsewhere)) {
            return true;
        }
        let (folder, module) = match name {
            _ if is_root(name) => return true,
            "mod.rs" => split(folder),
            _ => (folder, name.trim_end_matches(".rs")),
        };
        let mut parents = files.iter().filter(|file| match split(&file.path) {
            (beside, name) if beside == folder => name == "mod.rs" || is_root(name),
            _ => file.path.strip_suffix(".rs") == Some(folder),
        });
        let named = [format!("mod {module};"), format!("\"{module}/mod.rs\"")];
        parents.any(|file| named.iter().any(|name| file.text.contains(name)))
    };
    files.iter().filter(|file| file.is(&["rs"])).map(|file| file.path.as_str()).filter(|path| !is_part(path)).collect()
}

/// A path's folder and name.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '/' if characters.peek() == Some(&'/') => break,
            '"' => {
                code.push_str("\"\"");
                while let Some(inside) = characters.next() {
                    match inside {
                        '\\' => _ = characters.next(),
                        '"' => break,
                        _ => (),
                    }
                }
            }
            // The one character that would look like the start of a string.
            '\'' if line.contains("'\"'") && characters.peek() == Some(&'"') => {
                characters.next();
                characters.next();
            }
            other => code.push(other),
        }
    }
    code
}

/// Folders whose content nobody wrote.
const BUILT: &[&str] = &[".git", ".venv", "target", "bin", "node_modules", "__pycache__", ".pytest_cache"];
/// How the names end of files that somebody wrote.
const WRITTEN: &[&str] =
    &[".rs", ".py", ".pyi", ".md", ".toml", ".txt", ".sh", ".yml", ".yaml", "Makefile", "check-tools"];
