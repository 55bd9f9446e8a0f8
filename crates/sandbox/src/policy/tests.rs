use super::*;

/// A `/dev` with these GPUs and their driver.
fn dev(gpus: &[u32]) -> tempfile::TempDir {
    let dev = tempfile::tempdir().unwrap();
    for n in gpus {
        std::fs::write(dev.path().join(format!("nvidia{n}")), "").unwrap();
    }
    for name in ["nvidiactl", "nvidia-uvm", "null"] {
        std::fs::write(dev.path().join(name), "").unwrap();
    }
    dev
}

fn granted(gpus: &[u32]) -> Policy {
    Policy { gpus: gpus.to_vec(), ..Policy::new(["true"], "/") }
}

#[test]
fn a_unit_gets_the_devices_of_its_own_gpus_and_no_others() {
    let dev = dev(&[0, 1, 2, 13]);
    let names = |gpus: &[u32]| -> Vec<String> {
        let devices = granted(gpus).gpu_devices_in(dev.path());
        devices
            .iter()
            .map(|path| path.strip_prefix(dev.path()).unwrap().display().to_string())
            .collect()
    };
    assert_eq!(names(&[1, 13]), ["nvidia1", "nvidia13", "nvidiactl", "nvidia-uvm"]);
    assert_eq!(names(&[]), Vec::<String>::new());
    let system = |gpus: &[u32]| granted(gpus).system_paths().contains(&Path::new("/sys"));
    assert_eq!((system(&[1]), system(&[])), (Path::new("/sys").exists(), false));
}

#[test]
fn a_unit_that_would_see_fewer_gpus_than_granted_is_refused() {
    let dev = dev(&[0, 1]);
    for gpus in [&[][..], &[0], &[0, 1]] {
        assert!(granted(gpus).require_gpus_in(dev.path()).is_ok(), "{gpus:?}");
    }
    let error = granted(&[1, 2]).require_gpus_in(dev.path()).unwrap_err().to_string();
    assert!(error.starts_with("see the 2 GPUs of this slot: "), "{error}");
    assert!(error.ends_with("/nvidia2 is not there"), "{error}");
    std::fs::remove_file(dev.path().join("nvidiactl")).unwrap();
    assert!(granted(&[0]).require_gpus_in(dev.path()).is_err());
    assert!(granted(&[]).require_gpus_in(dev.path()).is_ok());
}

#[test]
fn programs_are_told_as_many_gpus_as_they_see() {
    let seen = |level, gpus: &[u32]| {
        let environment = granted(gpus).environment(level, Path::new("/tmp"));
        (environment["CUDA_VISIBLE_DEVICES"].clone(), environment["NVIDIA_VISIBLE_DEVICES"].clone())
    };
    let words = |cuda: &str, host: &str| (cuda.to_owned(), host.to_owned());
    for level in [Level::Bwrap, Level::Landlock] {
        assert_eq!(seen(level, &[4, 7]), words("0,1", "4,7"));
        assert_eq!(seen(level, &[]), words("", "void"));
    }
    assert_eq!(seen(Level::None, &[4, 7]), words("4,7", "4,7"));
    assert_eq!(seen(Level::None, &[]), words("", "void"));
}

#[test]
fn of_the_system_is_shown_what_is_asked_for() {
    let mut policy = Policy::new(["true"], "/");
    assert!(policy.system_paths().contains(&Path::new("/usr")));
    policy.system = System::Nothing;
    assert!(policy.system_paths().iter().all(|path| *path == Path::new(LINKER_CACHE)));
}
