"""The table of all rows: each cost limit, and the module that measures it."""

from __future__ import annotations

from bench.cloud_rotation import emulator_rotation_vs_floor
from bench.door_import import door_import_vs_floor
from bench.envelope_acks import deliveries_envelope_vs_event
from bench.group_batch import group_batch_commits
from bench.mls_bytes import bytes_against_wrapping
from bench.mls_encrypt import encrypt_bytes, encrypt_time
from bench.mls_growth import commit_adds, send_saved, update_growth
from bench.mls_tsmls import against_tsmls
from bench.mls_update import update_against_founding
from bench.proof_refusals import proof_refusals_alike
from bench.rotation import rotation_vs_floor
from bench.rows import Row
from bench.sweep import sweep_reads, sweep_time
from bench.token_rows import against_authlib_bcrypt, against_authlib_plain, against_floor, check_against_floor
from bench.verify import calls_of_a_first_check, hot_against_bcrypt12, hot_against_hmac, memory_of_100k
from bench.verify_guessing import guessing_against_quiet
from bench.verify_imported import imported_against_quiet
from bench.verify_refusals import refusals_alike

ROWS = (
    Row("rotation_vs_floor", 1.5, rotation_vs_floor),
    Row("group_batch_commits", 1.2, group_batch_commits),
    Row("deliveries_envelope_vs_event", 1.2, deliveries_envelope_vs_event),
    Row("emulator_rotation_vs_floor", 1.5, emulator_rotation_vs_floor),
    Row("door_import_vs_floor", 1.15, door_import_vs_floor),
    Row("mls_encrypt_time_200_vs_3", 1.2, encrypt_time),
    Row("mls_encrypt_bytes_200_vs_3", 1.0, encrypt_bytes, exact=True),
    Row("mls_update_200_vs_add_200_rfc9420", 1.0, update_against_founding),
    Row("mls_bytes_200_vs_pyrage", 1.0, bytes_against_wrapping),
    Row("mls_send_saved_200_vs_3", 1.5, send_saved),
    Row("mls_commit_adds_200_vs_50", 5.0, commit_adds),
    Row("mls_update_1000_vs_200", 5.0, update_growth),
    Row("mls_vs_tsmls_worst", 0.5, against_tsmls),
    Row("sweep_reads_100k_vs_1k", 1.0, sweep_reads, exact=True),
    Row("sweep_time_100k_vs_1k", 1.2, sweep_time),
    Row("verify_hot_vs_hmac", 4.0, hot_against_hmac),
    Row("verify_hot_vs_bcrypt12", 10_000, hot_against_bcrypt12, at_least=True),
    Row("verify_first_calls_vs_two", 1.0, calls_of_a_first_check, exact=True),
    Row("verify_guessing_latency", 1.5, guessing_against_quiet),
    Row("verify_beside_bcrypt", 1.5, imported_against_quiet),
    Row("refusal_timing_t", 4.5, refusals_alike),
    Row("proof_refusal_timing_t", 4.5, proof_refusals_alike),
    Row("verify_memory_100k_vs_100mb", 1.0, memory_of_100k),
    Row("token_vs_authlib_plain", 1.0, against_authlib_plain, at_least=True),
    Row("token_vs_authlib_bcrypt10", 60.0, against_authlib_bcrypt, at_least=True),
    Row("token_vs_floor", 0.65, against_floor, at_least=True),
    Row("check_get_vs_floor", 0.9, check_against_floor, at_least=True),
)
