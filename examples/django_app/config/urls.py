"""Every address of the project."""

from django.urls import path
from reports import views

urlpatterns = [
    path("", views.welcome),
    path("health", views.health),
    path("reports/", views.list_reports),
    path("reports/<int:number>/", views.read_report),
    path("users/<str:user>/reports/", views.ReportsOf.as_view()),
    path("tenants/<str:tenant>/reports/", views.list_reports),
    path("staff/queue/", views.queue),
]
