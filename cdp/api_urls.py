"""The addresses of the API, version 1. What is sent to the platform as events has addresses of its own, in ingestion."""

from django.urls import path

from cdp.activation.api import AudienceChecksum, AudienceDetail, AudienceMembers, Audiences
from cdp.activation.api_changes import AllChangesFeed, AudienceChangeFeed
from cdp.collecting.api import Consents, PersonConsent, PersonConsentHistory, PersonConsentMode
from cdp.collecting.api_files import ConsentImportApply, ConsentImportDetail, ConsentImports
from cdp.content.api import SlotDetail, Slots
from cdp.content.api_lookup import LookupOfMany, SegmentsOfPerson
from cdp.exports.api import ExportCancel, ExportDetail, ExportFields, ExportFile, ExportLink, ExportManifest, Exports
from cdp.exports.api_planned import DestinationDetail, Destinations, DestinationTry, ScheduleDetail, Schedules
from cdp.ingestion.api import Quarantine, QuarantineReplay, Sources
from cdp.jobs.api import JobCancel, JobDetail, JobList
from cdp.pages.api import Links
from cdp.privacy.api import PrivacyRequestDetail, PrivacyRequests, PrivacyRequestTargets, PrivacyTargetRetry
from cdp.rest.api_audit import AuditEntries
from cdp.rest.api_keys import ApiKeyDetail, ApiKeyRevoke, ApiKeyRotate, ApiKeys
from cdp.rest.openapi import SchemaView, docs
from cdp.webhooks.api import (
    WebhookDetail,
    WebhookDisable,
    WebhookEnable,
    Webhooks,
    WebhookSecretRotation,
    WebhookTest,
)
from cdp.webhooks.api_deliveries import DeliveryReplay, WebhookDeliveries, WebhookReplay
from cdp.webhooks.api_hooks import Hook, Hooks, HookSamples
from consent.api import PurposeList
from consent.api_notices import NoticeList, NoticeNewest, NoticeVersionDetail, NoticeVersions
from consent.api_receipts import ConsentReceipt
from segments.api import RuleSchema, SegmentDetail, SegmentList, SegmentPause, SegmentRefresh, SegmentResume
from segments.api_access import SegmentAccess, SegmentShare
from segments.api_by_hand import SegmentAddByHand, SegmentRemoveByHand, SegmentUndoByHand
from segments.api_catalogue import CatalogueEvent, CatalogueEvents, CatalogueTrait, CatalogueTraits
from segments.api_clusterings import (
    ClusteringDetail,
    Clusterings,
    ClusterLabel,
    ClusterRunAccept,
    ClusterRunDecline,
    ClusterRunDetail,
    ClusterRuns,
)
from segments.api_flows import SegmentFlow, SegmentHistory, SegmentOverlap, SegmentsFlow
from segments.api_lists import ListDetail, ListPeople, ListPeopleRemove, Lists
from segments.api_members import SegmentMember, SegmentMembers
from segments.api_people import ProfileLookup
from segments.api_personas import PersonaDetail, PersonaPortraits, Personas
from segments.api_plan import TrackingPlan
from segments.api_previews import SegmentPreview, SegmentPreviewCancel
from segments.api_rfm import RfmCurrent, RfmRunDetail, RfmRuns, RfmSettingsView
from segments.api_templates import SegmentTemplates
from segments.api_versions import SegmentVersions, VersionDifferenceView
from segments.api_why import SegmentWhy

app_name = "api"
urlpatterns = [
    path("segments/", SegmentList.as_view(), name="segments"),
    path("segments/preview/", SegmentPreview.as_view(), name="preview"),
    path("segments/preview/<uuid:token>/", SegmentPreviewCancel.as_view(), name="preview-cancel"),
    path("segments/overlap/", SegmentOverlap.as_view(), name="overlap"),
    path("segments/flow/", SegmentsFlow.as_view(), name="flows"),
    path("segments/templates/", SegmentTemplates.as_view(), name="templates"),
    path("segments/<slug:key>/", SegmentDetail.as_view(), name="segment"),
    path("segments/<slug:key>/members/", SegmentMembers.as_view(), name="members"),
    path("segments/<slug:key>/members/<uuid:uuid>/", SegmentMember.as_view(), name="member"),
    path("segments/<slug:key>/by-hand/add/", SegmentAddByHand.as_view(), name="by-hand-add"),
    path("segments/<slug:key>/by-hand/remove/", SegmentRemoveByHand.as_view(), name="by-hand-remove"),
    path("segments/<slug:key>/by-hand/undo/", SegmentUndoByHand.as_view(), name="by-hand-undo"),
    path("segments/<slug:key>/access/", SegmentAccess.as_view(), name="segment-access"),
    path("segments/<slug:key>/access/<str:kind>/<str:name>/", SegmentShare.as_view(), name="segment-share"),
    path("segments/<slug:key>/refresh/", SegmentRefresh.as_view(), name="refresh"),
    path("segments/<slug:key>/pause/", SegmentPause.as_view(), name="pause"),
    path("segments/<slug:key>/resume/", SegmentResume.as_view(), name="resume"),
    path("segments/<slug:key>/history/", SegmentHistory.as_view(), name="history"),
    path("segments/<slug:key>/flow/", SegmentFlow.as_view(), name="flow"),
    path("segments/<slug:key>/versions/", SegmentVersions.as_view(), name="versions"),
    path(
        "segments/<slug:key>/versions/<int:before>/diff/<int:after>/",
        VersionDifferenceView.as_view(),
        name="versions-diff",
    ),
    path("segments/<slug:key>/why/<path:identifier>/", SegmentWhy.as_view(), name="why"),
    path("audiences/", Audiences.as_view(), name="audiences"),
    path("audiences/changes/", AllChangesFeed.as_view(), name="all-changes"),
    path("audiences/<slug:key>/", AudienceDetail.as_view(), name="audience"),
    path("audiences/<slug:key>/members/", AudienceMembers.as_view(), name="audience-members"),
    path("audiences/<slug:key>/changes/", AudienceChangeFeed.as_view(), name="audience-changes"),
    path("audiences/<slug:key>/checksum/", AudienceChecksum.as_view(), name="audience-checksum"),
    path("lists/", Lists.as_view(), name="lists"),
    path("lists/<slug:key>/", ListDetail.as_view(), name="list"),
    path("lists/<slug:key>/people/", ListPeople.as_view(), name="list-people"),
    path("lists/<slug:key>/people/remove/", ListPeopleRemove.as_view(), name="list-people-remove"),
    path("rfm/", RfmCurrent.as_view(), name="rfm"),
    path("rfm/runs/", RfmRuns.as_view(), name="rfm-runs"),
    path("rfm/runs/<uuid:uuid>/", RfmRunDetail.as_view(), name="rfm-run"),
    path("rfm/settings/", RfmSettingsView.as_view(), name="rfm-settings"),
    path("clusterings/", Clusterings.as_view(), name="clusterings"),
    path("clusterings/<slug:key>/", ClusteringDetail.as_view(), name="clustering"),
    path("clusterings/<slug:key>/runs/", ClusterRuns.as_view(), name="cluster-runs"),
    path("clusterings/<slug:key>/runs/<int:number>/", ClusterRunDetail.as_view(), name="cluster-run"),
    path("clusterings/<slug:key>/runs/<int:number>/accept/", ClusterRunAccept.as_view(), name="cluster-run-accept"),
    path("clusterings/<slug:key>/runs/<int:number>/decline/", ClusterRunDecline.as_view(), name="cluster-run-decline"),
    path("clusterings/<slug:key>/clusters/<int:number>/", ClusterLabel.as_view(), name="cluster"),
    path("personas/", Personas.as_view(), name="personas"),
    path("portraits/", PersonaPortraits.as_view(), name="portraits"),
    path("personas/<slug:key>/", PersonaDetail.as_view(), name="persona"),
    # Before the person's own address, whose identifier may hold slashes, too.
    path("profiles/lookup/", LookupOfMany.as_view(), name="profiles-lookup"),
    path("profiles/<path:identifier>/segments/", SegmentsOfPerson.as_view(), name="profile-segments"),
    path("profiles/<path:identifier>/", ProfileLookup.as_view(), name="profile"),
    path("consents/<uuid:uuid>/receipt/", ConsentReceipt.as_view(), name="consent-receipt"),
    path("slots/", Slots.as_view(), name="slots"),
    path("slots/<slug:key>/", SlotDetail.as_view(), name="slot"),
    path("purposes/", PurposeList.as_view(), name="purposes"),
    path("privacy-requests/", PrivacyRequests.as_view(), name="privacy-requests"),
    path("privacy-requests/<uuid:uuid>/", PrivacyRequestDetail.as_view(), name="privacy-request"),
    path("privacy-requests/<uuid:uuid>/targets/", PrivacyRequestTargets.as_view(), name="privacy-targets"),
    path(
        "privacy-requests/<uuid:uuid>/targets/<int:position>/retry/",
        PrivacyTargetRetry.as_view(),
        name="privacy-target-retry",
    ),
    path("notices/", NoticeList.as_view(), name="notices"),
    path("notices/<slug:key>/", NoticeNewest.as_view(), name="notice"),
    path("notices/<slug:key>/versions/", NoticeVersions.as_view(), name="notice-versions"),
    path("notices/<slug:key>/versions/<int:number>/", NoticeVersionDetail.as_view(), name="notice-version"),
    path("consents/", Consents.as_view(), name="consents"),
    path("consents/imports/", ConsentImports.as_view(), name="consent-imports"),
    path("consents/imports/<uuid:uuid>/", ConsentImportDetail.as_view(), name="consent-import"),
    path("consents/imports/<uuid:uuid>/apply/", ConsentImportApply.as_view(), name="consent-import-apply"),
    path("consents/current/<path:identifier>/", PersonConsent.as_view(), name="consent-current"),
    path("consents/history/<path:identifier>/", PersonConsentHistory.as_view(), name="consent-history"),
    path("consents/consent-mode/<path:identifier>/", PersonConsentMode.as_view(), name="consent-mode"),
    path("links/", Links.as_view(), name="links"),
    path("catalogue/traits/", CatalogueTraits.as_view(), name="catalogue-traits"),
    path("catalogue/traits/<path:key>/", CatalogueTrait.as_view(), name="catalogue-trait"),
    path("catalogue/events/", CatalogueEvents.as_view(), name="catalogue-events"),
    path("catalogue/events/<int:number>/", CatalogueEvent.as_view(), name="catalogue-event"),
    path("exports/", Exports.as_view(), name="exports"),
    path("exports/fields/", ExportFields.as_view(), name="export-fields"),
    path("exports/<uuid:uuid>/", ExportDetail.as_view(), name="export"),
    path("exports/<uuid:uuid>/cancel/", ExportCancel.as_view(), name="export-cancel"),
    path("exports/<uuid:uuid>/file/", ExportFile.as_view(), name="export-file"),
    path("exports/<uuid:uuid>/manifest/", ExportManifest.as_view(), name="export-manifest"),
    path("exports/<uuid:uuid>/link/", ExportLink.as_view(), name="export-link"),
    path("export-schedules/", Schedules.as_view(), name="export-schedules"),
    path("export-schedules/<uuid:uuid>/", ScheduleDetail.as_view(), name="export-schedule"),
    path("export-destinations/", Destinations.as_view(), name="export-destinations"),
    path("export-destinations/<uuid:uuid>/", DestinationDetail.as_view(), name="export-destination"),
    path("export-destinations/<uuid:uuid>/try/", DestinationTry.as_view(), name="export-destination-try"),
    path("webhooks/", Webhooks.as_view(), name="webhooks"),
    path("webhooks/<uuid:uuid>/", WebhookDetail.as_view(), name="webhook"),
    path("webhooks/<uuid:uuid>/test/", WebhookTest.as_view(), name="webhook-test"),
    path("webhooks/<uuid:uuid>/rotate-secret/", WebhookSecretRotation.as_view(), name="webhook-rotate-secret"),
    path("webhooks/<uuid:uuid>/enable/", WebhookEnable.as_view(), name="webhook-enable"),
    path("webhooks/<uuid:uuid>/disable/", WebhookDisable.as_view(), name="webhook-disable"),
    path("webhooks/<uuid:uuid>/replay/", WebhookReplay.as_view(), name="webhook-replay"),
    path("webhooks/<uuid:uuid>/deliveries/", WebhookDeliveries.as_view(), name="webhook-deliveries"),
    path(
        "webhooks/<uuid:uuid>/deliveries/<uuid:event_id>/replay/",
        DeliveryReplay.as_view(),
        name="webhook-delivery-replay",
    ),
    path("hooks/", Hooks.as_view(), name="hooks"),
    path("hooks/samples/", HookSamples.as_view(), name="hook-samples"),
    path("hooks/<uuid:uuid>/", Hook.as_view(), name="hook"),
    path("audit/", AuditEntries.as_view(), name="audit"),
    path("keys/", ApiKeys.as_view(), name="keys"),
    path("keys/<slug:prefix>/", ApiKeyDetail.as_view(), name="key"),
    path("keys/<slug:prefix>/rotate/", ApiKeyRotate.as_view(), name="key-rotate"),
    path("keys/<slug:prefix>/revoke/", ApiKeyRevoke.as_view(), name="key-revoke"),
    path("sources/", Sources.as_view(), name="sources"),
    path("quarantine/", Quarantine.as_view(), name="quarantine"),
    path("quarantine/<int:id>/replay/", QuarantineReplay.as_view(), name="quarantine-replay"),
    path("tracking-plan/", TrackingPlan.as_view(), name="tracking-plan"),
    path("jobs/", JobList.as_view(), name="jobs"),
    path("jobs/<uuid:uuid>/", JobDetail.as_view(), name="job"),
    path("jobs/<uuid:uuid>/cancel/", JobCancel.as_view(), name="job-cancel"),
    path("rules/schema/", RuleSchema.as_view(), name="rules-schema"),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", docs, name="docs"),
]
