//! The requirements of each method of the API on its caller.

use std::collections::HashSet;

use prost::Message;
use prost_types::FileDescriptorSet;

use super::scope::{Scope, Scopes};
use crossmarket_api::FILE_DESCRIPTOR_SET;

/// A method's requirement on its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing: probes have no credentials.
    Open,
    /// A client with at least one of these scopes.
    AnyOf(Scopes),
    /// A client. The service does not exist, and only clients may learn that.
    Client,
}

/// The methods of the API.
#[derive(Debug)]
pub(super) struct Methods {
    streaming: HashSet<String>,
}

/// The scopes of what `SubscriptionService` can subscribe to; it checks each item's scope itself.
const SUBSCRIBABLE: Scopes = Scopes::of(&[Scope::Prices, Scope::LongShort, Scope::Indices, Scope::Signals]);

impl Methods {
    /// The methods of the compiled descriptor sets: the API's, health's and reflection's.
    pub(super) fn new() -> Self {
        let descriptors = [
            FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut streaming = HashSet::new();
        for file in descriptors.iter().flat_map(|set| FileDescriptorSet::decode(*set).unwrap_or_default().file) {
            for service in &file.service {
                let methods = service.method.iter().filter(|method| method.server_streaming());
                streaming
                    .extend(methods.map(|method| format!("/{}.{}/{}", file.package(), service.name(), method.name())));
            }
        }
        Self { streaming }
    }

    /// True when the method answers with a stream, which holds one of its caller's permits as long as the client likes.
    pub(super) fn is_streaming(&self, path: &str) -> bool {
        self.streaming.contains(path)
    }
}

/// The requirement of a path (`/package.Service/Method`). All methods of a service have the same, whether they exist or
/// not.
pub(super) fn access(path: &str) -> Access {
    let service = path.strip_prefix('/').and_then(|path| path.split('/').next()).unwrap_or_default();
    let scope = match service {
        "grpc.health.v1.Health" => return Access::Open,
        "crossmarket.v1.SubscriptionService" => return Access::AnyOf(SUBSCRIBABLE),
        "crossmarket.v1.PriceService" => Scope::Prices,
        "crossmarket.v1.LongShortService" => Scope::LongShort,
        "crossmarket.v1.IndexService" => Scope::Indices,
        "crossmarket.v1.SignalService" => Scope::Signals,
        "crossmarket.v1.OverviewService" => Scope::Overview,
        "crossmarket.v1.CatalogService" => Scope::Catalog,
        "grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection" => Scope::Reflection,
        _ => return Access::Client,
    };
    Access::AnyOf(Scopes::of(&[scope]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_of_the_api_asks_for_a_scope() {
        let descriptors = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("compiled in");
        let mut count = 0;
        for file in &descriptors.file {
            for service in &file.service {
                let path = format!("/{}.{}/Any", file.package(), service.name());
                assert!(matches!(access(&path), Access::AnyOf(scopes) if !scopes.is_empty()), "{path}");
                count += 1;
            }
        }
        assert!(count >= 7, "{count}");
    }

    #[test]
    fn what_is_no_service_is_for_clients_alone() {
        for path in ["", "/", "//", "grpc.health.v1.Health/Check", "/grpc.health.v1.Healthy/Check", "/crossmarket.v1"] {
            assert_eq!(access(path), Access::Client, "{path}");
        }
        assert_eq!(access("/grpc.health.v1.Health/Check"), Access::Open);
    }

    #[test]
    fn streams_are_known() {
        let methods = Methods::new();
        assert!(methods.is_streaming("/crossmarket.v1.PriceService/WatchPriceSnapshots"));
        assert!(methods.is_streaming("/crossmarket.v1.SubscriptionService/Subscribe"));
        assert!(methods.is_streaming("/grpc.health.v1.Health/Watch"));
        assert!(methods.is_streaming("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"));
        assert!(methods.is_streaming("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"));
        assert!(!methods.is_streaming("/grpc.health.v1.Health/Check"));
        assert!(!methods.is_streaming("/crossmarket.v1.PriceService/GetPriceSnapshot"));
    }
}
