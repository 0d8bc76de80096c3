//! Verifies token signatures with ring, which TLS uses as well. The token library accepts a cryptography provider.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: no_signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// Installs the provider. If another part of the program has installed one already, that one stays.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

/// The service signs nothing.
fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let scheme = match algorithm {
        Algorithm::RS256 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::PS256 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA256),
        Algorithm::ES256 => Scheme::Curve(&ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Scheme::Curve(&ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Scheme::Curve(&ED25519),
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    };
    Ok(Box::new(RingVerifier { algorithm: *algorithm, scheme, key: key.clone() }))
}

enum Scheme {
    Rsa(&'static RsaParameters),
    Curve(&'static dyn VerificationAlgorithm),
}

struct RingVerifier {
    algorithm: Algorithm,
    scheme: Scheme,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match (&self.scheme, self.key.kind()) {
            (Scheme::Rsa(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n: without_zeros(n), e: without_zeros(e) }
                    .verify(parameters, message, signature)
            }
            (Scheme::Curve(scheme), DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(*scheme, key).verify(message, signature)
            }
            _ => Err(ring::error::Unspecified),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// Some issuers send numbers with leading zeros, which ring rejects.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    // A modulus of 2,048 bits for the exponent 65537, and signatures of MESSAGE, made with OpenSSL; the private key was
    // discarded.
    const MESSAGE: &[u8] = b"a message";
    const MODULUS: &str = "ta8zsMqCqCZN_1TAscmTP_yfz5jQrtTP_UzRYaGq3xVW_3ryHNArXCGBnSY7KoDKZYHR40m8exsRJImQCIiAFqXOzOBlAkJUyZGl\
    e2vmdpdsEcs9JN6ZtAs4jtSlq1YIVuIzhLBFu0Aq_eJOVWQBdI14NuqUgaulAqvg8VEG2-wFmuEXmLoc25_WwZdSeHZ6F8pIdcyY\
    raFiLUlzZ6HyoDohwMEmAUARKlM6i1SCh-4RA5tdf1HwCVniZpCdA4xDdwxLS3HMyf5w9iB8ztQrdmCJC9lJrKFAgktLDKvpDoYo\
    AOnJkYfCTPLImnNHUYow2ch25dCed4EAYNZ9FtYdJQ";
    const PKCS1_SIGNATURE: &str = "DncYCma9zie-347tUq9EgIy3df92XVE_DZAsTDNOS7Sn6wy1z5-R4whqbTG0D4YT4E_9FRK6iXlXUZ2TDzuBoF_zgmK7sTbB9Cgz\
    0qG_hQG1DhvbWQh9aOfckl4dsTICwZ8XB5SLPOQUYZFH9zwPnFv329uXHMRGEVY3uQYF1K6aldlnTxyCHZNuojRpJKnOQ6B0e411\
    NCs6ViYal6z6SxxNtRNIaCtvk4RczOAq0N07C28Y_m4wdi_DGdqG4b1D5rslhfLgoK0UCj6uWfhLBiIdsi_wkSSYyzUIiQ0dhS00\
    ebSHYeGLOtgg2Mc9ClKdld1xR_c95_8LX-EE_QO-4g";
    const PSS_SIGNATURE: &str = "YlbmMa9X5hDxKFK2f2bgvrx0joILD0uGvoV-XPAUpmr3WdVSnUAV8oVuCerFfYy1Gf0Np_iJL7wUaNcDnffxCmBe9bMvzKVAf0pN\
    ZhaC6B2Fr-iHaAuUQqGeoE1_DOPkYYpmHe26oTVbsTEEEC647yszI5_drDGjLf_oU_HgmxpeqNGJpvR3--k1p-AThQ2H_ES_pV6C\
    S_qwqLu1qllMN1F_fMy1vs-FkC4tzNs1IUF8tJY1Y_FXTX-iFJ2HzXzpwLsRipy3qYy3M8YhjKLOwPc737M5-KBuTSiThk4YgnuU\
    GpGb2ggKyQSVSHfyqeGWepGXbI6i45865gITaMSDlA";

    #[test]
    fn rsa_signatures_are_verified() {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64");
        let zero_in_front = URL_SAFE_NO_PAD.encode([&[0], decode(MODULUS).as_slice()].concat());
        let check = |algorithm: Algorithm, modulus: &str, signature: &str, message: &[u8], expected: bool| {
            let key = DecodingKey::from_rsa_components(modulus, "AQAB").expect("a key");
            let verified = verifier(&algorithm, &key).expect("an algorithm").verify(message, &decode(signature));
            assert_eq!(verified.is_ok(), expected, "{algorithm:?} {modulus} {message:?}");
        };
        for (algorithm, signature, other) in
            [(Algorithm::RS256, PKCS1_SIGNATURE, PSS_SIGNATURE), (Algorithm::PS256, PSS_SIGNATURE, PKCS1_SIGNATURE)]
        {
            check(algorithm, MODULUS, signature, MESSAGE, true);
            check(algorithm, &zero_in_front, signature, MESSAGE, true);
            check(algorithm, MODULUS, signature, b"another message", false);
            check(algorithm, MODULUS, other, MESSAGE, false);
        }
    }

    #[test]
    fn nothing_is_signed_and_no_shared_secret_is_taken() {
        assert!(no_signer(&Algorithm::ES256, &EncodingKey::from_ec_der(b"")).is_err());
        assert!(verifier(&Algorithm::HS256, &DecodingKey::from_secret(b"secret")).is_err());
    }
}
