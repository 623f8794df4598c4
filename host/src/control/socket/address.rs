//! Where a job's control socket is. Whoever starts the job and whoever calls it come to the same answer.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::model::fault::Fault;
use crate::plan::location::Location;

/// Longer names of sockets are refused by the system: 108 bytes with the zero at the end. The server needs some for a
/// name beside it.
const NAME_BYTES_MAX: usize = 107 - 8;

/// `<state_dir>/<job>.sock` or, where no folder was named, `<checkpoint folder>/<job>/control.sock`. Jobs whose
/// checkpoints are in an object store, or in a folder whose name is too long for a socket, have theirs in
/// `$XDG_RUNTIME_DIR/wasmill` (or `/tmp/wasmill-<user id>`).
pub fn socket_path(job: &str, location: &Location, state_dir: Option<&Path>) -> Result<PathBuf, Fault> {
    let invalid = |path: &Path, error| Fault::invalid(format!("`{}` is not a path: {error}", path.display()));
    if let Some(folder) = state_dir {
        let folder = std::path::absolute(folder).map_err(|error| invalid(folder, error))?;
        let path = folder.join(format!("{job}.sock"));
        return match fits(&path) {
            true => Ok(path),
            false => Err(Fault::invalid(format!(
                "`{}` is too long for the name of a socket ({NAME_BYTES_MAX} bytes): choose a shorter `--state-dir`",
                path.display()
            ))),
        };
    }
    let place = match location {
        Location::Folder(folder) => {
            // One folder may have several names.
            let folder = fs::canonicalize(folder).or_else(|_| std::path::absolute(folder));
            let place = folder.map_err(|error| invalid(Path::new(job), error))?.join(job);
            let path = place.join("control.sock");
            if fits(&path) {
                return Ok(path);
            }
            place.as_os_str().as_bytes().to_vec()
        }
        Location::Store { url, .. } => format!("{}/{job}", url.trim_end_matches('/')).into_bytes(),
    };
    Ok(runtime_folder().join(format!("{:016x}.sock", xxh3_64(&place))))
}

fn fits(path: &Path) -> bool {
    path.as_os_str().len() <= NAME_BYTES_MAX
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn runtime_folder() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => Path::new(&folder).join("wasmill"),
        None => PathBuf::from(format!("/tmp/wasmill-{}", user())),
    }
}

/// Makes the folder of a socket, for this user alone. One that is there already is used as it is, but for the runtime
/// folder: that must be ours, since anybody may make folders beside it.
pub fn make_folder(socket: &Path) -> Result<(), Fault> {
    let folder = socket.parent().unwrap_or(Path::new("/"));
    let fault = |error| Fault::unavailable(format!("cannot make the folder `{}`: {error}", folder.display()));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fault)?;
    if folder != runtime_folder() {
        return Ok(());
    }
    let found = fs::symlink_metadata(folder).map_err(fault)?;
    if found.is_dir() && found.uid() == user() && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(Fault::unavailable(format!(
        "`{}` is not a folder of this user alone: remove it, or name another with `--state-dir`",
        folder.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_beside_the_checkpoints_or_where_it_was_said() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Folder(folder.path().join("checkpoints"));
        let path = socket_path("clicks", &location, None).unwrap();
        assert_eq!(path, folder.path().join("checkpoints/clicks/control.sock"));
        let path = socket_path("clicks", &location, Some(Path::new("/run/mill"))).unwrap();
        assert_eq!(path, Path::new("/run/mill/clicks.sock"));
    }

    #[test]
    fn names_that_are_too_long_and_urls_are_hashed() {
        let long = |job: &str| {
            let path = socket_path(job, &Location::Folder(format!("/{}", "x".repeat(100)).into()), None).unwrap();
            assert!(fits(&path) && path.extension().is_some_and(|extension| extension == "sock"), "{path:?}");
            path
        };
        assert_eq!(long("a"), long("a"));
        assert_ne!(long("a"), long("b"));
        let remote = Location::Store { url: "s3://bucket/jobs/".to_owned(), options: Vec::new() };
        assert!(fits(&socket_path("a", &remote, None).unwrap()));
        let error = socket_path("a", &remote, Some(Path::new(&"y".repeat(100)))).unwrap_err();
        assert!(error.message.contains("--state-dir"), "{error}");
    }
}
