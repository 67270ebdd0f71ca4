//! UpdateFeatures: the levels of features are those of this build; to ask for the level that is in force is no change.
//!
//! Mirrors `FeatureControlManager.updateFeatures`, apart from downgrades, which Kafka makes where they are called safe or unsafe:
//! here no level can be changed. Features that are not served are not known, `kraft.version` among them.

use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use kafka_protocol::protocol::StrBytes;

use super::Context;
use super::api_versions::FEATURES;
use super::apis::count_error;
use super::told::told;
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// `FeatureUpdate.UpgradeType` in Kafka.
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

/// All or nothing: the first update that is refused refuses the request.
pub async fn update_features(
    cx: Context,
    header: RequestHeader,
    request: UpdateFeaturesRequest,
) -> Result<UpdateFeaturesResponse, Close> {
    let node_id = cx.broker.config.load().node_id;
    let refused = request.feature_updates.iter().find_map(|update| {
        let reason = judge(node_id, header.api_version, update).err()?;
        Some(format!(
            "The update failed for all features since the following feature had an error: Invalid update version {} for \
             feature {}. {reason}",
            update.max_version_level,
            update.feature.as_str()
        ))
    });
    if let Some(message) = refused {
        count_error(&header, ErrorCode::INVALID_UPDATE_VERSION);
        return Ok(UpdateFeaturesResponse::default()
            .with_error_code(ErrorCode::INVALID_UPDATE_VERSION.0)
            .with_error_message(Some(told(message))));
    }
    let answer = UpdateFeaturesResponse::default().with_error_message(None);
    if header.api_version >= 2 {
        return Ok(answer);
    }
    // Kafka's text for no error, which its tools do not show.
    let done = |update: FeatureUpdateKey| {
        UpdatableFeatureResult::default()
            .with_feature(update.feature)
            .with_error_message(Some(StrBytes::from_static_str("NONE")))
    };
    Ok(answer.with_results(request.feature_updates.into_iter().map(done).collect()))
}

fn judge(node_id: i32, version: i16, update: &FeatureUpdateKey) -> Result<(), String> {
    // Kafka does not look at what version 0 has in its place.
    let upgrade_type = if version == 0 { UPGRADE } else { update.upgrade_type };
    if ![UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE].contains(&upgrade_type) {
        return Err("The controller does not support the given upgrade type.".to_owned());
    }
    let level = update.max_version_level;
    if level < 0 {
        return Err("A feature version cannot be less than 0.".to_owned());
    }
    let name = update.feature.as_str();
    match FEATURES.iter().find(|(feature, ..)| *feature == name) {
        None if level == 0 => Err(format!("Feature {name} not found.")),
        None => Err(format!("Local controller {node_id} does not support this feature.")),
        Some((_, min, max)) if !(*min..=*max).contains(&level) => {
            Err(format!("Local controller {node_id} only supports versions {min}-{max}"))
        }
        Some((_, _, max)) if level == *max => Ok(()),
        Some(_) if upgrade_type == UPGRADE => Err(
            "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."
                .to_owned(),
        ),
        Some(_) => Err("The levels of features of this broker cannot be changed.".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{TestBroker, text};

    fn update(feature: &str, level: i16, upgrade_type: i8) -> FeatureUpdateKey {
        FeatureUpdateKey::default()
            .with_feature(text(feature))
            .with_max_version_level(level)
            .with_upgrade_type(upgrade_type)
    }

    #[tokio::test]
    async fn only_the_level_in_force_may_be_asked_for() {
        let broker = TestBroker::start();
        let cases = [
            (update("group.version", 1, 1), None),
            (update("group.version", 1, 2), None),
            (update("metadata.version", 30, 1), None),
            (update("transaction.version", 1, 1), Some("Can't downgrade the version of this feature without")),
            (update("transaction.version", 1, 3), Some("The levels of features of this broker cannot be changed.")),
            (update("group.version", 2, 1), Some("Local controller 1 only supports versions 0-1")),
            (update("metadata.version", 1, 2), Some("Local controller 1 only supports versions 7-30")),
            (update("group.version", -1, 1), Some("A feature version cannot be less than 0.")),
            (update("nope", 1, 1), Some("Local controller 1 does not support this feature.")),
            (update("nope", 0, 2), Some("Feature nope not found.")),
            (update("group.version", 1, 9), Some("The controller does not support the given upgrade type.")),
        ];
        for (update, reason) in cases {
            for version in [1, 2] {
                let updates = vec![self::update("group.version", 1, 1), update.clone()];
                let answer =
                    broker.call(version, &UpdateFeaturesRequest::default().with_feature_updates(updates)).await;
                assert_eq!(answer.error_code, if reason.is_some() { 95 } else { 0 }, "{update:?}");
                let message = answer.error_message.unwrap_or_default();
                assert!(message.contains(reason.unwrap_or_default()), "{update:?}: {message}");
                assert_eq!(answer.results.len(), if version == 1 && reason.is_none() { 2 } else { 0 });
            }
        }
        // What version 0 calls allow_downgrade counts for nothing.
        let downgrade = FeatureUpdateKey::default()
            .with_feature(text("group.version"))
            .with_max_version_level(1)
            .with_allow_downgrade(true);
        let request = UpdateFeaturesRequest::default().with_feature_updates(vec![downgrade]);
        assert_eq!(broker.call(0, &request).await.error_code, 0);
    }
}
