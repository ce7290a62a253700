package activity

// mails are what people call the mails that the notifier sends, by the names of their templates, which facts record. One that
// is not here is called by that name.
var (
	englishMails = map[string]string{
		"approval-requested": "Decision needed", "approval-requested-alternate": "Notice of a request", "approval-reminder": "Reminder to decide",
		"nobody-to-ask": "Nobody can decide", "approvers-unavailable": "Nobody can decide any more", "customer-asked": "The customer has been asked",
		"internal-approval-requested": "Internal decision needed", "internal-approval-reminder": "Reminder to decide internally",
		"request-refused": "Request rejected", "internally-refused": "Refused internally", "internal-expired": "Internal approval expired",
		"question-asked": "Question about a request", "question-answered": "Answer to a question", "approval-recorded": "Approval recorded",
		"emergency-access": "Emergency access", "access-granted": "Access has begun", "request-denied": "Request denied",
		"request-expired": "Request expired", "request-withdrawn": "Request withdrawn", "access-lapsed": "Approval lapsed",
		"access-revoked": "Access revoked", "access-released": "Access given back", "access-completed": "Access has ended",
		"tenant-created": "Organisation created", "plan-changed": "Support plan changed", "plan-lowered": "Support plan lowered",
		"lockbox-enabled": "Lockbox switched on", "lockbox-disabled": "Lockbox switched off", "preview-signed-up": "Preview joined",
		"preview-signed-off": "Preview left", "settings-changed": "Settings changed", "subscription-registered": "Subscription registered",
		"role-assigned": "Role assigned", "role-removed": "Role removed", "role-activated": "Role activated", "role-deactivated": "Role deactivated",
		"exposure-disclosed": "Exposure of data", "legal-demand-disclosed": "Legal demand for data",
		"integrity-alarm": "Log integrity alarm",
	}
	frenchMails = map[string]string{
		"approval-requested": "Décision attendue", "approval-requested-alternate": "Avis de demande", "approval-reminder": "Rappel\u00a0: décision attendue",
		"nobody-to-ask": "Personne ne peut se prononcer", "approvers-unavailable": "Plus personne ne peut se prononcer", "customer-asked": "Client sollicité",
		"internal-approval-requested": "Décision interne attendue", "internal-approval-reminder": "Rappel\u00a0: décision interne attendue",
		"request-refused": "Demande rejetée", "internally-refused": "Refus interne", "internal-expired": "Approbation interne expirée",
		"question-asked": "Question sur une demande", "question-answered": "Réponse à une question", "approval-recorded": "Approbation enregistrée",
		"emergency-access": "Accès d’urgence", "access-granted": "Début de l’accès", "request-denied": "Demande refusée",
		"request-expired": "Demande expirée", "request-withdrawn": "Demande retirée", "access-lapsed": "Approbation caduque",
		"access-revoked": "Accès révoqué", "access-released": "Accès restitué", "access-completed": "Fin de l’accès",
		"tenant-created": "Organisation créée", "plan-changed": "Plan de support modifié", "plan-lowered": "Plan de support réduit",
		"lockbox-enabled": "Lockbox activé", "lockbox-disabled": "Lockbox désactivé", "preview-signed-up": "Inscription à une préversion",
		"preview-signed-off": "Sortie d’une préversion", "settings-changed": "Paramètres modifiés", "subscription-registered": "Abonnement enregistré",
		"role-assigned": "Rôle attribué", "role-removed": "Rôle retiré", "role-activated": "Rôle activé", "role-deactivated": "Rôle désactivé",
		"exposure-disclosed": "Exposition de données", "legal-demand-disclosed": "Demande légale de données",
		"integrity-alarm": "Alerte d’intégrité du journal",
	}
	japaneseMails = map[string]string{
		"approval-requested": "ご判断のお願い", "approval-requested-alternate": "要求のお知らせ", "approval-reminder": "ご判断のお願い（再通知）",
		"nobody-to-ask": "判断できる方の不在", "approvers-unavailable": "承認者の不在", "customer-asked": "お客様への承認依頼",
		"internal-approval-requested": "社内承認の依頼", "internal-approval-reminder": "社内承認の依頼（再通知）",
		"request-refused": "要求の却下", "internally-refused": "社内での却下", "internal-expired": "社内承認の期限切れ",
		"question-asked": "要求に関する質問", "question-answered": "質問への回答", "approval-recorded": "承認の記録",
		"emergency-access": "緊急アクセス", "access-granted": "アクセスの開始", "request-denied": "要求の拒否",
		"request-expired": "要求の失効", "request-withdrawn": "要求の取り下げ", "access-lapsed": "承認の効力喪失",
		"access-revoked": "アクセスの取り消し", "access-released": "アクセスの返却", "access-completed": "アクセスの終了",
		"tenant-created": "組織の作成", "plan-changed": "サポート プランの変更", "plan-lowered": "サポート プランの引き下げ",
		"lockbox-enabled": "Lockbox の有効化", "lockbox-disabled": "Lockbox の無効化", "preview-signed-up": "プレビューへの参加",
		"preview-signed-off": "プレビューへの参加の終了", "settings-changed": "設定の変更", "subscription-registered": "サブスクリプションの登録",
		"role-assigned": "ロールの割り当て", "role-removed": "ロールの解除", "role-activated": "ロールのアクティブ化", "role-deactivated": "ロールの非アクティブ化",
		"exposure-disclosed": "意図しない開示", "legal-demand-disclosed": "法的な開示請求",
		"integrity-alarm": "ログの整合性に関する警報",
	}
)

// mail is what a mail is called.
func (l speaker) mail(template string) string {
	if name, known := l.mails[template]; known {
		template = name
	}
	return l.label(template)
}
