//! Certificates and authorities made for a test.

// Each test binary has this module as its own and uses a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

/// An authority of its own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
}

/// A certificate that an authority has issued.
pub struct Issued {
    /// The certificate.
    pub pem: String,
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// Its private key, PEM.
    pub key: String,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut asked = CertificateParams::new(Vec::new()).expect("no names");
        asked.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = asked.self_signed(&key).expect("signed").pem();
        Self { issuer: Issuer::new(asked, key), pem }
    }

    /// A certificate for loopback, and for `uri` if there is one.
    pub fn issue(&self, uri: Option<&str>) -> Issued {
        let mut asked = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("names");
        asked.subject_alt_names.extend(uri.map(|uri| SanType::URI(uri.try_into().expect("ASCII"))));
        let key = KeyPair::generate().expect("a key");
        let certificate = asked.signed_by(&key, &self.issuer).expect("signed");
        Issued { pem: certificate.pem(), der: certificate.der().to_vec(), key: key.serialize_pem() }
    }
}

/// Certificate and key as Kubernetes mounts a Secret: links to a directory behind a link that is swapped as a whole.
pub struct Mounted {
    directory: PathBuf,
    version: u32,
}

impl Mounted {
    /// In an empty directory.
    pub fn new(directory: &Path, issued: &Issued) -> Self {
        let mut mounted = Self { directory: directory.to_owned(), version: 0 };
        mounted.swap(issued);
        for name in ["tls.crt", "tls.key"] {
            std::os::unix::fs::symlink(Path::new("..data").join(name), directory.join(name)).expect("linked");
        }
        mounted
    }

    /// The certificate's file and the key's.
    pub fn files(&self) -> (String, String) {
        let file = |name| self.directory.join(name).to_str().expect("UTF-8").to_owned();
        (file("tls.crt"), file("tls.key"))
    }

    /// Puts another pair in the place, at once.
    pub fn swap(&mut self, issued: &Issued) {
        self.version += 1;
        let name = format!("..{}", self.version);
        let directory = self.directory.join(&name);
        std::fs::create_dir(&directory).expect("made");
        std::fs::write(directory.join("tls.crt"), &issued.pem).expect("written");
        std::fs::write(directory.join("tls.key"), &issued.key).expect("written");
        std::os::unix::fs::symlink(&name, self.directory.join("..new")).expect("linked");
        std::fs::rename(self.directory.join("..new"), self.directory.join("..data")).expect("swapped");
    }

    /// Overwrites the files one after the other, as a program that renews certificates by itself does.
    pub fn overwrite(&mut self, issued: &Issued) {
        std::fs::write(self.directory.join("tls.crt"), &issued.pem).expect("written");
        std::fs::write(self.directory.join("tls.key"), &issued.key).expect("written");
    }
}
