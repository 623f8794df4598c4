//! A new operator project, from templates.

use std::path::{Path, PathBuf};

use super::ToolchainError;

/// What kind of operator a new project starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// Row by row, keyed, with state
    Process,
    /// A window's aggregate
    Aggregate,
}

/// Where a new project takes the SDK from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SdkSource {
    Folder(PathBuf),
    Registry { version: &'static str },
}

impl SdkSource {
    /// The folder if one is named; else the SDK of the checkout that this program was built in, if that is still
    /// there; else the published one.
    pub fn find(folder: Option<&Path>) -> Result<Self, ToolchainError> {
        if let Some(folder) = folder {
            let whole = folder.join("Cargo.toml").is_file().then(|| folder.canonicalize().ok()).flatten();
            return whole.map(Self::Folder).ok_or_else(|| ToolchainError::NoSdk { path: folder.to_owned() });
        }
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk");
        Ok(match beside.canonicalize() {
            Ok(folder) => Self::Folder(folder),
            Err(_) => Self::Registry { version: "0.1" },
        })
    }

    fn as_dependency(&self) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        match self {
            Self::Folder(folder) => format!("{{ path = {} }}", quoted(&folder.to_string_lossy())),
            Self::Registry { version } => quoted(version),
        }
    }
}

impl Template {
    /// Path in the project and text of each file.
    fn files(self) -> [(&'static str, &'static str); 5] {
        let (operator, job) = match self {
            Self::Process => {
                (include_str!("templates/process/lib.rs.txt"), include_str!("templates/process/job.toml.txt"))
            }
            Self::Aggregate => {
                (include_str!("templates/aggregate/lib.rs.txt"), include_str!("templates/aggregate/job.toml.txt"))
            }
        };
        [
            ("Cargo.toml", include_str!("templates/Cargo.toml.txt")),
            (".gitignore", include_str!("templates/gitignore.txt")),
            ("README.md", include_str!("templates/README.md.txt")),
            ("job.toml", job),
            ("src/lib.rs", operator),
        ]
    }
}

/// Writes a complete operator project into a new folder, whose last part is the package's name.
pub fn scaffold(folder: &Path, template: Template, sdk: &SdkSource) -> Result<(), ToolchainError> {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !is_package_name(&name) {
        return Err(ToolchainError::BadName { name });
    }
    if folder.exists() {
        return Err(ToolchainError::Exists { path: folder.to_owned() });
    }
    let source = folder.join("src");
    std::fs::create_dir_all(&source).map_err(|e| ToolchainError::io("create", &source, e))?;
    for (path, text) in template.files() {
        let text = text
            .replace("{{name}}", &name)
            .replace("{{operator}}", &name.replace('_', "-"))
            .replace("{{Type}}", &type_name(&name))
            .replace("{{sdk}}", &sdk.as_dependency());
        let path = folder.join(path);
        std::fs::write(&path, text).map_err(|e| ToolchainError::io("write", &path, e))?;
    }
    Ok(())
}

/// Starts with a letter, so that it also makes the name of a type.
fn is_package_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
        && name.split(['-', '_']).all(|word| word.starts_with(|first: char| first.is_ascii_lowercase()))
}

/// `spend-guard` becomes `SpendGuard`.
fn type_name(name: &str) -> String {
    let capitalized = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    name.split(['-', '_']).map(capitalized).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(type_name("spend-guard_two"), "SpendGuardTwo");
        for good in ["a", "spend-guard", "ad2_count"] {
            assert!(is_package_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "2a", "Ad", "a b", "ä"] {
            assert!(!is_package_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_project_has_no_placeholder_left() {
        let folder = tempfile::tempdir().unwrap();
        for (name, template) in [("guard", Template::Process), ("share", Template::Aggregate)] {
            let project = folder.path().join(name);
            scaffold(&project, template, &SdkSource::Registry { version: "0.1" }).unwrap();
            for (path, _) in template.files() {
                let text = std::fs::read_to_string(project.join(path)).unwrap();
                assert!(!text.contains("{{"), "{path}: {text}");
            }
            let manifest = std::fs::read_to_string(project.join("Cargo.toml")).unwrap();
            manifest.parse::<toml::Table>().unwrap();
        }
        let again = scaffold(&folder.path().join("guard"), Template::Process, &SdkSource::find(None).unwrap());
        assert!(matches!(again, Err(ToolchainError::Exists { .. })));
    }
}
