/** What the audit log calls by the name of an operation, in English and in Chinese. */

const ACTIONS: Readonly<Record<string, readonly [english: string, chinese: string]>> = {
  list_jobs: ["Work list", "工作列表"],
  list_studies: ["Patients in the work list", "工作列表中的患者"],
  show_job: ["Job", "任务"],
  follow_jobs: ["Events of all jobs", "全部任务的动态"],
  follow_job: ["Events of a job", "任务动态"],
  create_job_of_study: ["Study submitted", "提交检查"],
  create_job_of_upload: ["Files submitted", "上传文件"],
  generate_report: ["Study submitted by the alias", "通过别名提交检查"],
  cancel_job: ["Job cancelled", "取消任务"],
  retry_job: ["Job tried again", "重试任务"],
  delete_job: ["Job deleted", "删除任务"],
  set_priority: ["Priority changed", "更改优先级"],
  show_report: ["Report", "报告"],
  list_files: ["List of files", "文件列表"],
  download_file: ["File", "文件"],
  show_volume: ["Images opened", "打开图像"],
  download_slice: ["Slices", "断层图像"],
  download_labels: ["Outlines", "轮廓"],
  list_reviews: ["Reviews", "复核记录"],
  review_finding: ["Finding reviewed", "复核发现"],
  show_corrected_report: ["Corrected report", "修正后的报告"],
  download_corrected_report: ["Corrected SR", "修正后的 SR（结构化报告）"],
  download_corrected_segmentation: ["Corrected SEG", "修正后的 SEG（分割）"],
  show_labels: ["Training labels", "训练标注"],
  download_labels_as_cohort: ["Training labels with crops", "训练标注与图像块"],
  list_archives: ["List of archives", "影像归档列表"],
  find_studies: ["Archive searched", "检索影像归档"],
  show_me: ["Page opened", "打开页面"],
  show_page_settings: ["Settings of the page", "页面设置"],
  read_audit: ["Audit log", "审计日志"],
};

/** The actions in one language, by name. */
export function actionsIn(language: "en" | "zh"): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(ACTIONS).map(([name, [en, zh]]) => [name, language === "en" ? en : zh]));
}
