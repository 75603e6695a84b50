"""Which role may open which screen, and which may do what: every address of the console by name.

A new address is entered here by whoever adds it. "admin" may whatever anybody may; "anybody" needs no role.
"""

from typing import Final

OPENED: Final = {
    "admin": """
        auth_group_add auth_group_change auth_group_changelist auth_group_delete auth_group_history
        auth_user_add auth_user_change auth_user_changelist auth_user_delete auth_user_history
        auth_user_password_change auth_user_factors lockouts
        consent_purpose_add profiles_exchangerate_add profiles_exchangerate_change
        profiles_exchangerate_changelist profiles_exchangerate_history profiles_workspace_change
        profiles_workspace_changelist profiles_workspace_history
    """,
    "anybody": """
        account account_codes account_passkey account_prove account_totp second_factor
        app_list ask confirm home_waiting index jsi18n login password_change password_change_done preferences
        unsubscribe
    """,
    "compliance": """
        accountability_publishedrecord_changelist accountability_publishedrecord_controller
        accountability_publishedrecord_entry accountability_publishedrecord_now
        accountability_publishedrecord_taken accountability_publishedrecord_version
        accountability_retentionrule_change accountability_retentionrule_changelist
        accountability_retentionrule_history accountability_retentionrule_preview
        accountability_retentionrule_purpose accountability_retentionrule_run
        accountability_retentionrule_run_csv audit_auditentry_change audit_auditentry_changelist
        audit_auditentry_csv audit_auditentry_export audit_auditentry_history breach breach_people
        collecting_consentimport_change collecting_consentimport_changelist collecting_consentimport_detail
        collecting_consentimport_errors collecting_consentimport_history collecting_consentimport_upload
        consent_consentconflict_change consent_consentconflict_changelist consent_consentconflict_detail
        consent_consentconflict_history consent_consentrecord_change consent_consentrecord_changelist
        consent_consentrecord_detail consent_consentrecord_export consent_consentrecord_history
        consent_consentrecord_proof consent_consentrecord_receipt consent_notice_new consent_notice_publish
        privacy_privacyrequest_change privacy_privacyrequest_changelist privacy_privacyrequest_come_back
        privacy_privacyrequest_detail privacy_privacyrequest_export privacy_privacyrequest_history
        privacy_privacyrequest_new profiles_profile_consent profiles_profile_link
    """,
    "integrator": """
        exports_destination_new health
        ingestion_quarantined_change ingestion_quarantined_changelist ingestion_quarantined_detail
        ingestion_quarantined_history ingestion_source_add ingestion_source_change ingestion_source_changelist
        ingestion_source_live ingestion_source_messages tracking_plan tracking_plan_file
        ingestion_source_detail ingestion_source_history rest_apikey_change rest_apikey_changelist
        rest_apikey_detail rest_apikey_history rest_apikey_limits rest_apikey_new
    """,
    "marketer": """
        exports_export_new
        content_slot_new activation_audience_new activation_audience_settings webhooks_webhook_edit
        segments_clustering_new segments_clustering_settings
        segments_listupload_detail segments_listupload_new segments_listupload_problems
        segments_segment_access segments_segment_import segments_segment_new segments_staticlist_new
        segments_persona_new segments_persona_settings
    """,
    "marketer integrator": """
        webhooks_webhook_new
    """,
    "marketer compliance": """
        content_slot_preview webhooks_webhook_detail
        segments_clustering_change segments_clustering_changelist segments_clustering_compare
        segments_clustering_detail segments_clustering_history segments_clustering_standing
        segments_clustering_statistics segments_clustering_together
        consent_notice_bytes consent_notice_change consent_notice_changelist consent_notice_compare
        consent_notice_detail consent_notice_history consent_notice_version consent_purpose_change
        consent_purpose_changelist consent_purpose_history consent_rates home_figures profiles_profile_change
        profiles_profile_changelist profiles_profile_detail profiles_profile_history profiles_profile_segments
        profiles_profile_timeline profiles_profile_trait profiles_profile_why segments_segment_member
        segments_segment_member_figures segments_segment_member_find segments_segment_members
        segments_segment_people_difference segments_segment_performance segments_segment_performance_figures
        segments_segment_use segments_staticlist_detail segments_staticlist_settings
        segments_persona_change segments_persona_changelist segments_persona_detail segments_persona_file
        segments_persona_history segments_persona_print segments_persona_standing
        segments_rfmrun_cells_csv segments_rfmrun_change segments_rfmrun_changelist
        segments_rfmrun_distributions segments_rfmrun_groups_csv segments_rfmrun_history
        segments_rfmrun_movers segments_rfmrun_runs segments_rfmrun_settings segments_rfmrun_standing
    """,
    "marketer compliance integrator": """
        exports_export_change exports_export_changelist exports_export_detail exports_export_history
        exports_schedule_change exports_schedule_changelist exports_schedule_detail exports_schedule_history
        exports_destination_change exports_destination_changelist exports_destination_detail exports_destination_history
        content_slot_change content_slot_changelist content_slot_detail content_slot_history
        activation_audience_change activation_audience_changelist activation_audience_detail
        activation_audience_history webhooks_webhook_change webhooks_webhook_changelist webhooks_webhook_history
        jobs_job_change jobs_job_changelist jobs_job_detail jobs_job_history profiles_eventname_change
        profiles_eventname_changelist profiles_eventname_history profiles_trait_change
        profiles_trait_changelist profiles_trait_history segments_segment_change segments_segment_changelist
        segments_segment_compare segments_segment_compare_figures segments_segment_detail
        segments_segment_difference segments_segment_fields segments_segment_history segments_segment_overlap
        segments_segment_overlap_figures segments_segment_phrases segments_segment_settings segments_segment_size
        segments_segment_standing segments_staticlist_change segments_staticlist_changelist
        segments_staticlist_history segments_staticlist_sizes
    """,
    "nobody": """
        exports_export_add exports_export_delete exports_export_file exports_export_act
        exports_schedule_add exports_schedule_delete exports_schedule_act
        exports_destination_add exports_destination_delete exports_destination_act
        content_slot_add content_slot_delete content_slot_delete_one
        activation_audience_add activation_audience_delete activation_audience_delete_one
        webhooks_webhook_add webhooks_webhook_delete webhooks_webhook_delete_one webhooks_webhook_secret
        webhooks_webhook_replay webhooks_webhook_act
        segments_clustering_accept segments_clustering_add segments_clustering_decline
        segments_clustering_delete segments_clustering_delete_one segments_clustering_rename
        segments_clustering_run segments_clustering_segment
        accountability_publishedrecord_add accountability_publishedrecord_change
        accountability_publishedrecord_delete accountability_publishedrecord_history
        accountability_publishedrecord_publish accountability_retentionrule_add
        accountability_retentionrule_apply accountability_retentionrule_delete
        accountability_retentionrule_edit accountability_retentionrule_remove audit_auditentry_add
        audit_auditentry_checkpoint audit_auditentry_delete audit_auditentry_verify autocomplete
        collecting_consentimport_add collecting_consentimport_apply collecting_consentimport_delete
        collecting_consentimport_discard consent_consentconflict_add consent_consentconflict_delete
        consent_consentrecord_add consent_consentrecord_delete consent_consentrecord_proof_at
        consent_notice_add consent_notice_delete consent_notice_preview consent_purpose_delete demo-shop
        ingestion_quarantined_add ingestion_quarantined_delete ingestion_quarantined_discard
        ingestion_quarantined_replay ingestion_quarantined_replay_many ingestion_quarantined_settle_all
        ingestion_source_watch ingestion_source_add_key
        ingestion_source_delete ingestion_source_revoke_key jobs_job_add jobs_job_cancel jobs_job_delete
        account_end_others account_remove lockout_lift
        logout privacy_privacyrequest_act privacy_privacyrequest_add privacy_privacyrequest_delete
        privacy_privacyrequest_file privacy_privacyrequest_target profiles_eventname_add
        profiles_eventname_delete profiles_eventname_measure profiles_exchangerate_delete
        profiles_profile_add profiles_profile_delete profiles_profile_mask profiles_profile_reveal
        profiles_profile_undo_merge profiles_trait_add profiles_trait_delete profiles_trait_measure
        profiles_workspace_add profiles_workspace_delete prove rest_apikey_add rest_apikey_delete
        rest_apikey_revoke rest_apikey_rotate segments_segment_unshare_group segments_listupload_apply segments_listupload_columns
        segments_listupload_discard segments_segment_add segments_segment_archive segments_segment_build
        segments_segment_check segments_segment_clone segments_segment_delete
        segments_segment_delete_one segments_segment_draft_export segments_segment_draft_import
        segments_segment_draft_permits segments_segment_draft_sql segments_segment_draft_why
        segments_segment_field_card segments_segment_field_distribution segments_segment_field_values
        segments_segment_fill segments_segment_many segments_segment_member_by_hand
        segments_segment_member_columns segments_segment_members_export segments_segment_members_reveal
        segments_segment_members_upload segments_segment_new_people segments_segment_new_review
        segments_segment_pause segments_segment_preview segments_segment_publish
        segments_segment_refresh segments_segment_restore segments_segment_resume
        segments_segment_review segments_segment_review_people segments_segment_unshare
        segments_staticlist_add segments_staticlist_delete segments_staticlist_delete_one
        segments_staticlist_remove
        segments_persona_add segments_persona_delete segments_persona_delete_one segments_persona_move
        segments_persona_run segments_persona_segment
        segments_rfmrun_add segments_rfmrun_cancel segments_rfmrun_delete segments_rfmrun_draft
        segments_rfmrun_segment segments_rfmrun_start
    """,
}
"""Roles -> screens that they can open."""

DONE: Final = {
    "admin": """
        auth_group_add auth_group_change auth_group_changelist auth_group_delete auth_group_history
        auth_user_add auth_user_change auth_user_changelist auth_user_delete auth_user_history
        auth_user_password_change auth_user_factors lockouts lockout_lift
        consent_purpose_add consent_purpose_change ingestion_quarantined_detail
        profiles_exchangerate_add profiles_exchangerate_change profiles_exchangerate_changelist
        profiles_exchangerate_history profiles_workspace_change profiles_workspace_changelist
        profiles_workspace_history
    """,
    "anybody": """
        account account_codes account_end_others account_passkey account_prove account_remove account_totp second_factor
        app_list ask confirm home_waiting index login logout password_change preferences profiles_profile_mask
        unsubscribe
    """,
    "compliance": """
        accountability_publishedrecord_changelist accountability_publishedrecord_controller
        accountability_publishedrecord_entry accountability_publishedrecord_now
        accountability_publishedrecord_publish accountability_publishedrecord_taken
        accountability_publishedrecord_version accountability_retentionrule_apply
        accountability_retentionrule_changelist accountability_retentionrule_history
        accountability_retentionrule_preview accountability_retentionrule_purpose
        accountability_retentionrule_run accountability_retentionrule_run_csv audit_auditentry_change
        audit_auditentry_changelist audit_auditentry_csv audit_auditentry_export audit_auditentry_history
        audit_auditentry_verify breach breach_people collecting_consentimport_apply
        collecting_consentimport_changelist collecting_consentimport_detail collecting_consentimport_discard
        collecting_consentimport_errors collecting_consentimport_history collecting_consentimport_upload
        consent_consentconflict_changelist consent_consentconflict_detail consent_consentconflict_history
        consent_consentrecord_changelist consent_consentrecord_detail consent_consentrecord_export
        consent_consentrecord_history consent_consentrecord_proof consent_consentrecord_receipt
        consent_notice_new consent_notice_preview consent_notice_publish privacy_privacyrequest_act
        privacy_privacyrequest_changelist privacy_privacyrequest_come_back privacy_privacyrequest_detail
        privacy_privacyrequest_export privacy_privacyrequest_file privacy_privacyrequest_history
        privacy_privacyrequest_new privacy_privacyrequest_target profiles_profile_consent
        profiles_profile_link profiles_profile_reveal profiles_profile_undo_merge
        segments_segment_members_reveal
    """,
    "integrator": """
        exports_destination_new exports_destination_detail exports_destination_act health
        ingestion_quarantined_changelist ingestion_quarantined_discard ingestion_quarantined_history
        ingestion_quarantined_replay ingestion_quarantined_replay_many ingestion_quarantined_settle_all
        ingestion_source_live ingestion_source_messages ingestion_source_watch tracking_plan tracking_plan_file ingestion_source_add
        ingestion_source_add_key ingestion_source_change ingestion_source_changelist ingestion_source_detail
        ingestion_source_history ingestion_source_revoke_key profiles_eventname_change profiles_trait_change
        rest_apikey_changelist rest_apikey_detail rest_apikey_history rest_apikey_limits rest_apikey_new
        rest_apikey_revoke rest_apikey_rotate
    """,
    "marketer": """
        exports_export_new exports_export_file exports_export_act exports_schedule_detail exports_schedule_act
        content_slot_delete_one content_slot_detail content_slot_new
        activation_audience_new activation_audience_settings activation_audience_delete_one
        webhooks_webhook_edit webhooks_webhook_delete_one webhooks_webhook_secret webhooks_webhook_replay webhooks_webhook_act
        segments_clustering_accept segments_clustering_decline segments_clustering_delete_one
        segments_clustering_new segments_clustering_rename segments_clustering_run segments_clustering_segment
        segments_clustering_settings
        segments_listupload_apply segments_listupload_columns segments_listupload_detail
        segments_listupload_discard segments_listupload_new segments_listupload_problems
        segments_segment_access segments_segment_archive segments_segment_clone
        segments_segment_delete_one segments_segment_detail segments_segment_fill
        segments_segment_import segments_segment_members_upload segments_segment_new
        segments_segment_new_people segments_segment_new_review segments_segment_pause
        segments_segment_publish segments_segment_refresh segments_segment_restore
        segments_segment_resume segments_segment_review segments_segment_review_people
        segments_segment_settings segments_segment_unshare segments_segment_unshare_group segments_staticlist_delete_one
        segments_staticlist_new segments_staticlist_remove segments_staticlist_settings
        segments_persona_delete_one segments_persona_move segments_persona_new segments_persona_run
        segments_persona_segment segments_persona_settings
        segments_rfmrun_cancel segments_rfmrun_draft segments_rfmrun_segment segments_rfmrun_settings
        segments_rfmrun_start
    """,
    "marketer compliance": """
        content_slot_preview webhooks_webhook_detail
        segments_clustering_changelist segments_clustering_compare segments_clustering_detail
        segments_clustering_history segments_clustering_standing segments_clustering_statistics segments_clustering_together
        consent_notice_bytes consent_notice_changelist consent_notice_compare consent_notice_detail
        consent_notice_history consent_notice_version consent_purpose_changelist consent_purpose_history
        consent_rates home_figures profiles_profile_changelist profiles_profile_detail
        profiles_profile_history profiles_profile_segments profiles_profile_timeline
        profiles_profile_trait profiles_profile_why segments_segment_draft_permits
        segments_segment_draft_sql segments_segment_draft_why segments_segment_member
        segments_segment_member_columns segments_segment_member_figures segments_segment_member_find
        segments_segment_members segments_segment_members_export segments_segment_people_difference
        segments_segment_performance segments_segment_performance_figures segments_segment_preview
        segments_segment_use segments_staticlist_detail
        segments_persona_changelist segments_persona_detail segments_persona_file segments_persona_history
        segments_persona_print segments_persona_standing
        segments_rfmrun_cells_csv segments_rfmrun_changelist segments_rfmrun_distributions
        segments_rfmrun_groups_csv segments_rfmrun_history segments_rfmrun_movers segments_rfmrun_runs
        segments_rfmrun_standing
    """,
    "marketer compliance integrator": """
        exports_export_changelist exports_export_detail exports_export_history
        exports_schedule_changelist exports_schedule_history exports_destination_changelist exports_destination_history
        content_slot_changelist content_slot_history
        activation_audience_changelist activation_audience_detail activation_audience_history
        webhooks_webhook_changelist webhooks_webhook_history
        jobs_job_changelist jobs_job_detail jobs_job_history profiles_eventname_changelist
        profiles_eventname_history profiles_trait_changelist profiles_trait_history
        segments_segment_build segments_segment_changelist segments_segment_check
        segments_segment_compare segments_segment_compare_figures segments_segment_difference
        segments_segment_draft_export segments_segment_draft_import segments_segment_fields
        segments_segment_history segments_segment_many segments_segment_overlap
        segments_segment_overlap_figures segments_segment_phrases segments_segment_size segments_staticlist_sizes
        segments_segment_standing segments_staticlist_changelist segments_staticlist_history
    """,
    "marketer integrator": """
        webhooks_webhook_new
        jobs_job_cancel profiles_eventname_measure profiles_trait_measure
    """,
    "nobody": """
        exports_export_add exports_export_change exports_export_delete exports_schedule_add exports_schedule_change
        exports_schedule_delete exports_destination_add exports_destination_change exports_destination_delete
        content_slot_add content_slot_change content_slot_delete
        activation_audience_add activation_audience_change activation_audience_delete
        webhooks_webhook_add webhooks_webhook_change webhooks_webhook_delete
        segments_clustering_add segments_clustering_change segments_clustering_delete
        accountability_publishedrecord_add accountability_publishedrecord_change
        accountability_publishedrecord_delete accountability_publishedrecord_history
        accountability_retentionrule_add accountability_retentionrule_change
        accountability_retentionrule_delete accountability_retentionrule_edit
        accountability_retentionrule_remove audit_auditentry_add audit_auditentry_checkpoint
        audit_auditentry_delete autocomplete collecting_consentimport_add collecting_consentimport_change
        collecting_consentimport_delete consent_consentconflict_add consent_consentconflict_change
        consent_consentconflict_delete consent_consentrecord_add consent_consentrecord_change
        consent_consentrecord_delete consent_consentrecord_proof_at consent_notice_add consent_notice_change
        consent_notice_delete consent_purpose_delete demo-shop ingestion_quarantined_add
        ingestion_quarantined_change ingestion_quarantined_delete ingestion_source_delete jobs_job_add
        jobs_job_change jobs_job_delete jsi18n password_change_done privacy_privacyrequest_add
        privacy_privacyrequest_change privacy_privacyrequest_delete profiles_eventname_add
        profiles_eventname_delete profiles_exchangerate_delete profiles_profile_add profiles_profile_change
        profiles_profile_delete profiles_trait_add profiles_trait_delete profiles_workspace_add
        profiles_workspace_delete prove rest_apikey_add rest_apikey_change rest_apikey_delete
        segments_segment_add segments_segment_change segments_segment_delete segments_segment_field_card
        segments_segment_field_distribution segments_segment_field_values segments_segment_member_by_hand
        segments_staticlist_add segments_staticlist_change segments_staticlist_delete
        segments_persona_add segments_persona_change segments_persona_delete
        segments_rfmrun_add segments_rfmrun_change segments_rfmrun_delete
    """,
}
"""Roles -> addresses that take what they send; whether it makes sense is another matter."""
