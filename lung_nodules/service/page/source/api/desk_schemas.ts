/** What the service sends beside jobs and reports: how one signs in, studies of archives, the audit log. */

import * as v from "valibot";
import { nullable } from "./schemas";

export const SignInWaySchema = v.looseObject({
  mode: v.picklist(["none", "static", "oidc"]),
  issuer: nullable(v.string()),
  client_id: nullable(v.string()),
  scope: v.optional(v.string(), ""),
});

export const StudiesOfJobsSchema = v.array(
  v.looseObject({
    job_id: v.string(),
    patient_id: nullable(v.string()),
    accession_number: nullable(v.string()),
    study_date: nullable(v.string()),
  }),
);

/** The names of the archives that are configured. */
export const ArchivesSchema = v.pipe(
  v.array(v.looseObject({ name: v.string() })),
  v.transform((archives) => archives.map(({ name }) => name)),
);

const Found = v.looseObject({
  study_instance_uid: v.string(),
  study_date: nullable(v.string()),
  modalities: v.optional(v.array(v.string()), []),
  description: v.optional(v.string(), ""),
  num_series: nullable(v.number()),
  num_instances: nullable(v.number()),
  patient_id: v.optional(v.string(), ""),
  patient_name: v.optional(v.string(), ""),
  accession_number: v.optional(v.string(), ""),
});

export const FoundPageSchema = v.looseObject({
  studies: v.array(Found),
  next_cursor: nullable(v.string()),
  is_cut: v.optional(v.boolean(), false),
});

const AuditEntry = v.looseObject({
  id: v.number(),
  at: v.string(),
  actor: v.string(),
  role: v.string(),
  action: v.string(),
  outcome: v.picklist(["done", "refused", "failed"]),
  status: v.number(),
  code: v.optional(v.string(), ""),
  job_id: nullable(v.string()),
  object: v.optional(v.string(), ""),
  studies: v.optional(v.array(v.string()), []),
  address: v.optional(v.string(), ""),
});

export const AuditPageSchema = v.looseObject({ entries: v.array(AuditEntry), next_cursor: nullable(v.number()) });

export type SignInWay = v.InferOutput<typeof SignInWaySchema>;
export type StudyOfJob = v.InferOutput<typeof StudiesOfJobsSchema>[number];
export type FoundStudy = v.InferOutput<typeof Found>;
export type AuditEntry = v.InferOutput<typeof AuditEntry>;
