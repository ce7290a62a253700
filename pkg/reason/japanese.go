package reason

var japanese = map[string]string{
	"ASSIGNED_AT_MANAGEMENT_GROUP": "管理グループでの割り当ては対象外です。",
	"ASSIGNMENT_ENDED":             "ロールの割り当ての期限が切れています。",
	"ROLE_NOT_ACTIVATED":           "ロールの対象ですが、アクティブ化されていません。",
	"ACTIVATION_ENDED":             "ロールのアクティブ化の期限が切れています。",
	"OWN_REQUEST":                  "自分の要求を承認することはできません。",

	"CUSTOMER_DECIDES":                 "お客様のデータにアクセスする操作であるため、お客様の承認が必要です。",
	"NO_CUSTOMER_DATA":                 "お客様のデータにアクセスしない操作であるため、お客様の承認は必要ありません。",
	"LOCKBOX_NOT_ENABLED":              "お客様が Lockbox を有効にしていないため、承認は必要ありません。",
	"PREVIEW_NOT_SIGNED_UP":            "プレビュー段階のサービスにお客様が参加していないため、承認は必要ありません。",
	"EMERGENCY":                        "緊急のため、お客様の承認を待たずにアクセスを開始し、開始時にお知らせします。",
	"EMERGENCY_NEEDS_SECURITY_OFFICER": "緊急アクセスは短時間に限られ、事前にセキュリティ責任者の承認が必要です。",
	"RULE_FAILED":                      "プロバイダーのルール「{rule}」を評価できなかったため、要求は拒否されました。",
	"NO_RULE_MATCHED":                  "この要求を許可するプロバイダーのルールがありません。",

	"RESOURCE_TYPE_UNKNOWN":      "サービス カタログにリソースの種類「{resource_type}」がありません。",
	"RESOURCE_TYPE_UNSUPPORTED":  "{service} は Lockbox でサポートされていません。{migration}",
	"SCENARIO_UNKNOWN":           "リソースの種類「{resource_type}」にシナリオ「{scenario}」がありません。",
	"SUBSCRIPTION_REQUIRED":      "シナリオ「{scenario}」はサブスクリプションのリソースが対象ですが、サブスクリプションが指定されていません。",
	"SUBSCRIPTION_NOT_ALLOWED":   "シナリオ「{scenario}」は組織全体が対象のため、サブスクリプションは指定できません。",
	"SUBSCRIPTION_NOT_FOUND":     "指定されたサブスクリプションは組織にありません。",
	"SUBSCRIPTION_FAULTY":        "サブスクリプションの記録に矛盾があるため、判断できません。",
	"TICKET_NOT_FOUND":           "指定されたサポート チケットは組織にありません。",
	"EMPLOYER_UNKNOWN":           "サインイン情報にエンジニアの雇用主が含まれていません。",
	"NOT_AN_ENGINEER":            "アクセスを要求できるのはプロバイダーのエンジニアだけです。",
	"NOT_AN_EMERGENCY_RESPONDER": "緊急アクセスを要求できるのはグループ「{group}」のメンバーだけです。",

	"CUSTOMER_DATA_NOT_EXCLUDED": "サービス カタログによると、この操作でお客様のデータにアクセスする可能性があります。",
	"NOT_IN_PREVIEW":             "サービス カタログによると、このサービスは既にプレビュー段階ではありません。",
	"PREVIEW_SIGNED_UP":          "その間にお客様がプレビューに参加しました。",
	"LOCKBOX_ENABLED":            "その間にお客様が Lockbox を有効にしました。",
	"EMERGENCY_NOT_AUTHORIZED":   "緊急アクセスには、専用の権限とセキュリティ責任者の承認が必要です。",
	"APPROVER_LOST_ROLE":         "アクセスの開始時に、承認者が必要なロールを失っていました。",
	"LONGER_THAN_ALLOWED":        "お客様の承認がない場合、プロバイダーの規定より長いアクセスはできません。",
	"UNKNOWN_WAIVER":             "このバージョンの Lockbox では、お客様の承認が不要とされた理由を確認できません。",

	"RECIPIENT_UNUSABLE": "受信者に有効なメール アドレスがありません。",
	"MAIL_REFUSED":       "メール サーバーに拒否されました：「{answer}」。",
	"MAIL_GIVEN_UP":      "時間内に送信できませんでした。最後のエラー：「{answer}」。",
}
