/**
 * What the service sends, checked as it comes in.
 *
 * Strict about what the page relies on, tolerant of everything else: a newer service may send more fields.
 */

import * as v from "valibot";

export const nullable = <T extends v.GenericSchema>(schema: T) => v.optional(v.nullable(schema), null);
const pair = <T extends v.GenericSchema>(schema: T) => v.tuple([schema, schema]);
const triple = v.tuple([v.number(), v.number(), v.number()]);

export const STATES = [
  "queued",
  "running",
  "done",
  "refused",
  "failed",
  "set_aside",
  "cancelled",
  "duplicate",
] as const;
export const STEPS = ["fetch", "analyse", "store"] as const;

const Reason = v.looseObject({ code: v.string(), sentence: v.string(), advice: v.optional(v.string(), "") });

const Notice = v.looseObject({ tries: v.number(), told_at: nullable(v.string()), given_up_at: nullable(v.string()) });

export const JobSchema = v.looseObject({
  id: v.string(),
  source: v.looseObject({ kind: v.string(), archive: nullable(v.string()), study_instance_uid: nullable(v.string()) }),
  label: v.string(),
  priority: v.number(),
  state: v.picklist(STATES),
  step: nullable(v.picklist(STEPS)),
  progress: v.optional(v.number(), 0),
  stage: v.optional(v.string(), ""),
  version: v.optional(v.number(), 1),
  attempts: v.optional(v.number(), 0),
  reason: nullable(Reason),
  submitted_by: v.optional(v.string(), ""),
  created_at: v.string(),
  started_at: nullable(v.string()),
  finished_at: nullable(v.string()),
  duplicate_of: nullable(v.string()),
  replaces: nullable(v.string()),
  replaced_by: nullable(v.string()),
  cancel_requested: v.optional(v.boolean(), false),
  summary: nullable(
    v.looseObject({
      num_findings: v.number(),
      highest_suspicion: nullable(v.number()),
      result: v.optional(v.string(), ""),
      quality: v.optional(v.string(), ""),
      num_stored: nullable(v.number()),
    }),
  ),
  notice: nullable(Notice),
});

export const JobPageSchema = v.looseObject({ jobs: v.array(JobSchema), next_cursor: nullable(v.string()) });

const Slice = v.looseObject({
  index: v.number(),
  viewer_number: v.number(),
  sop_instance_uid: v.string(),
  instance_number: nullable(v.number()),
});

const FollowUp = v.looseObject({
  guideline: v.string(),
  category: nullable(v.string()),
  sentence: v.string(),
});

const SUSPICIONS = ["suspicious", "indeterminate", "unlikely"] as const;

export const FindingSchema = v.looseObject({
  finding_id: v.string(),
  tracking_id: v.string(),
  tracking_uid: v.string(),
  outline_label: v.number(),
  suspicion: v.picklist(SUSPICIONS),
  overall_suspicion: v.number(),
  suspicion_score: v.number(),
  nodule_probability: v.number(),
  candidate_score: v.number(),
  characteristics: v.record(v.string(), v.number()),
  density: v.string(),
  solid_fraction: v.number(),
  mean_hu: v.number(),
  position: v.looseObject({
    side: nullable(v.string()),
    lobe: nullable(v.string()),
    center_lps_mm: triple,
    center_voxel: triple,
    slice: Slice,
  }),
  size: v.looseObject({
    long_axis_mm: v.number(),
    short_axis_mm: v.number(),
    mean_diameter_mm: v.number(),
    axes_slice: Slice,
    volume_mm3: v.number(),
    equivalent_sphere_diameter_mm: v.number(),
  }),
  follow_up: v.optional(v.array(FollowUp), []),
});

const Series = v.looseObject({
  series_instance_uid: v.string(),
  series_number: nullable(v.number()),
  series_description: v.string(),
  modality: v.string(),
  num_instances: v.number(),
  chosen: v.boolean(),
  code: v.string(),
  sentence: v.string(),
});

export const ReportSchema = v.looseObject({
  report_version: v.string(),
  disclaimer: v.string(),
  software: v.looseObject({ name: v.string(), version: v.string() }),
  series_considered: v.array(Series),
  files_passed_over: v.record(v.string(), v.number()),
  status: v.literal("completed"),
  result_uid: v.string(),
  study: v.looseObject({
    patient_id: nullable(v.string()),
    patient_age_years: nullable(v.number()),
    patient_sex: nullable(v.string()),
    accession_number: nullable(v.string()),
    study_instance_uid: v.string(),
    series_instance_uid: v.string(),
    study_date: nullable(v.string()),
  }),
  protocol: v.looseObject({
    manufacturer: nullable(v.string()),
    manufacturer_model_name: nullable(v.string()),
    kvp: nullable(v.number()),
    convolution_kernel: nullable(v.string()),
    slice_thickness_mm: nullable(v.number()),
    spacing_mm: triple,
    num_slices: v.number(),
    num_rows: v.number(),
    num_columns: v.number(),
    contrast_agent: nullable(v.string()),
  }),
  classification_result: v.picklist([...SUSPICIONS, "no nodule found"]),
  classification_finding_id: nullable(v.string()),
  classification_confidence: nullable(v.number()),
  findings: v.array(FindingSchema),
  findings_cap: nullable(v.number()),
  follow_up: v.optional(v.array(FollowUp), []),
  candidates: v.looseObject({ reported: v.number(), not_examined: v.number() }),
  lungs: v.looseObject({ right_litres: v.number(), left_litres: v.number(), bounding_box_voxel: pair(triple) }),
  quality: v.array(
    v.looseObject({
      code: v.string(),
      outcome: v.picklist(["pass", "warn", "fail"]),
      value: nullable(v.union([v.number(), v.string()])),
      limit: nullable(v.union([v.number(), v.string()])),
      unit: v.string(),
      sentence: v.string(),
    }),
  ),
  models: v.array(
    v.looseObject({
      name: v.string(),
      kind: v.string(),
      version: v.string(),
      sha256: v.string(),
      operating_point: nullable(v.string()),
      false_positives_per_scan: nullable(v.number()),
    }),
  ),
  run: v.looseObject({
    runtime: v.string(),
    device: v.string(),
    seconds_by_stage: v.record(v.string(), v.number()),
  }),
});

export const SlicesSchema = v.looseObject({
  num_slices: v.number(),
  rows: v.number(),
  columns: v.number(),
  spacing_mm: triple,
  direction: v.array(v.array(v.number())),
  low_hu: v.number(),
  high_hu: v.number(),
  labels: v.optional(v.array(v.number()), []), // slices that have some
});

export const FilesSchema = v.pipe(
  v.union([
    v.array(v.looseObject({ name: v.string(), media_type: v.string(), bytes: v.number() })),
    v.looseObject({
      files: v.array(v.looseObject({ name: v.string(), media_type: v.string(), bytes: v.number() })),
    }),
  ]),
  v.transform((answer) => (Array.isArray(answer) ? answer : answer.files)),
);

export const VERDICTS = ["accepted", "rejected", "corrected"] as const;

export const ReviewSchema = v.looseObject({
  finding_id: v.string(),
  verdict: v.picklist(VERDICTS),
  comment: v.optional(v.string(), ""),
  diameter_mm: nullable(v.number()),
  suspicion: nullable(v.number()),
  reviewed_by: v.optional(v.string(), ""),
  reviewed_at: v.optional(v.string(), ""),
});

export const ReviewsSchema = v.pipe(
  v.union([v.array(ReviewSchema), v.looseObject({ reviews: v.array(ReviewSchema) })]),
  v.transform((answer) => (Array.isArray(answer) ? answer : answer.reviews)),
);

export const ROLES = ["viewer", "operator", "admin"] as const;

export const MeSchema = v.looseObject({ name: v.string(), role: v.picklist(ROLES), auth_mode: v.string() });

export const PageSettingsSchema = v.looseObject({
  viewer_url: nullable(v.string()),
  version: v.optional(v.string(), ""),
});

export const ProblemSchema = v.looseObject({
  title: v.optional(v.string(), ""),
  detail: v.optional(v.string(), ""),
  code: v.optional(v.string(), ""),
  advice: v.optional(nullable(v.string()), ""),
});

export type Job = v.InferOutput<typeof JobSchema>;
export type JobState = (typeof STATES)[number];
export type JobPage = v.InferOutput<typeof JobPageSchema>;
export type Finding = v.InferOutput<typeof FindingSchema>;
export type Suspicion = (typeof SUSPICIONS)[number];
export type Report = v.InferOutput<typeof ReportSchema>;
export type Check = Report["quality"][number];
export type Series = v.InferOutput<typeof Series>;
export type Slices = v.InferOutput<typeof SlicesSchema>;
export type ResultFile = v.InferOutput<typeof FilesSchema>[number];
export type Review = v.InferOutput<typeof ReviewSchema>;
export type Verdict = (typeof VERDICTS)[number];
export type Me = v.InferOutput<typeof MeSchema>;
export type PageSettings = v.InferOutput<typeof PageSettingsSchema>;
